"""Users of a translation service, for locust.

    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 20s --host http://127.0.0.1:8000

Most requests bring one sentence, some a text of several paragraphs, some a list as programs send
it, and some speak LibreTranslate's form. Every answer is checked; an answer that is wrong in any
way is a failure, and with a failure, or with no request at all, the exit status is 1.

What the figures mean: each user waits for its answer before it asks again (a closed loop), so more
users mean more work at the same time, and a slow service is asked less often. The times are those
of whole requests as the client sees them, connections kept open. Translations are not judged.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment

from loadtests.answers import libretranslate_fault, translate_fault
from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, CorpusError

MOST_PARAGRAPHS = 6
MOST_TEXTS = 16


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The options of this file, beside locust's own."""
    parser.add_argument(
        "--texts",
        type=Path,
        default=DEFAULT_SENTENCES,
        metavar="FILE",
        help="sentences to translate, one a line",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--paragraphs",
        type=Path,
        default=DEFAULT_PARAGRAPHS,
        metavar="FILE",
        help="paragraphs to translate, blank lines between them",
        include_in_web_ui=False,
    )
    parser.add_argument("--source", default="en", metavar="CODE", help="language of the texts")
    parser.add_argument("--target", default="de", metavar="CODE", help="language wanted")
    parser.add_argument(
        "--think-seconds",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="mean pause of a user between an answer and the next request (default: none)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed draws the same texts"
    )


@events.init.add_listener
def read_corpus(environment: Environment, **_: Any) -> None:
    """Reads the texts once, before the first user is made; ends the run where they are no good."""
    options: Any = environment.parsed_options
    try:
        TranslationUser.corpus = Corpus.read(options.texts, options.paragraphs)
    except CorpusError as error:
        raise SystemExit(f"locust: {error}") from error


@events.quitting.add_listener
def refuse_an_empty_run(environment: Environment, **_: Any) -> None:
    """A run in which nothing was asked has shown nothing."""
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1


class TranslationUser(FastHttpUser):
    """Someone, or some program, that has one text after another translated."""

    corpus: Corpus
    numbers: Iterator[int] = itertools.count()

    def on_start(self) -> None:
        """Gives each user texts of its own, the same ones in every run with this seed."""
        options: Any = self.environment.parsed_options
        self.rng = random.Random(f"{options.seed}/{next(self.numbers)}")
        self.pair = {"source": options.source, "target": options.target}
        self.think_seconds: float = options.think_seconds

    def wait_time(self) -> float:
        """Seconds until the next request: exponential, as independent people are."""
        return self.rng.expovariate(1 / self.think_seconds) if self.think_seconds else 0.0

    @task(60)
    def one_sentence(self) -> None:
        """The everyday request."""
        self._translate("sentence", {"text": self.corpus.sentence(self.rng)}, count=1)

    @task(20)
    def a_document(self) -> None:
        """A text of several sentences, a few of them long."""
        text = self.corpus.document(self.rng, most=MOST_PARAGRAPHS)
        self._translate("document", {"text": text}, count=1)

    @task(10)
    def a_list(self) -> None:
        """What a program sends that translates a file or a page."""
        texts = self.corpus.batch(self.rng, most=MOST_TEXTS)
        self._translate("list", {"texts": texts}, count=len(texts))

    @task(7)
    def libretranslate_text(self) -> None:
        """One text in LibreTranslate's form."""
        self._libretranslate("text", self.corpus.sentence(self.rng))

    @task(3)
    def libretranslate_list(self) -> None:
        """A list in LibreTranslate's form."""
        self._libretranslate("list", self.corpus.batch(self.rng, most=MOST_TEXTS))

    def _translate(self, kind: str, body: dict[str, Any], *, count: int) -> None:
        self._post("/v1/translate", kind, body, partial(translate_fault, count=count))

    def _libretranslate(self, kind: str, query: str | list[str]) -> None:
        self._post("/translate", kind, {"q": query}, partial(libretranslate_fault, query=query))

    def _post(
        self, path: str, kind: str, body: dict[str, Any], fault_of: Callable[[object], str | None]
    ) -> None:
        request_id = uuid.uuid4().hex
        with self.client.post(
            path,
            json=body | self.pair,
            headers={"X-Request-Id": request_id},
            name=f"{path} ({kind})",
            catch_response=True,
        ) as response:
            if fault := _fault(response, request_id, fault_of):
                response.failure(fault)


def _fault(
    response: FastResponse, request_id: str, fault_of: Callable[[object], str | None]
) -> str | None:
    """The first thing wrong with an answer, None if nothing is."""
    if response.status_code == 0:
        # Only answers that never came have it.
        return f"no answer: {type(getattr(response, 'error', None)).__name__}"
    if response.status_code != HTTPStatus.OK:
        return f"the status must be 200, but is {response.status_code}"
    if response.headers is None or response.headers.get("X-Request-Id") != request_id:
        return "`X-Request-Id` must be echoed"
    try:
        answer = json.loads(response.content)
    except ValueError:
        return "the answer must be JSON"
    return fault_of(answer)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more seconds, but is {text}")
    return seconds
