"""What all users of a translation service have in common, for locust: options, texts, requests."""

from __future__ import annotations

import argparse
import json
import math
import random
import time
import uuid
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, CorpusError
from loadtests.mix import MIXES, LanguagePair, Mix, Request

__all__ = ["TranslationUser", "not_negative"]


class TranslationUser(FastHttpUser):
    """Someone, or some program, that has one text after another translated."""

    abstract = True
    mix_name = "realistic"
    corpus: Corpus
    numbers = count()

    def __init__(self, environment: Environment) -> None:
        """Gives each user texts of its own, the same ones in every run with this seed."""
        super().__init__(environment)
        options: Any = environment.parsed_options
        worker = max(0, getattr(environment.runner, "worker_index", 0))
        self.rng = random.Random(f"{options.seed}/{worker}/{next(self.numbers)}")
        pair = LanguagePair(source=options.source, target=options.target)
        self.mix = Mix(options.mix or self.mix_name, self.corpus, pair)
        self.echoes_ids: bool = not options.foreign

    def send(self, request: Request, *, planned: float | None = None) -> str | None:
        """Sends it and judges the answer.

        Args:
            planned: when it should have been sent, in `time.perf_counter()` seconds: its response
                time counts from there; without it, from when it is sent.

        Returns:
            What is wrong with the answer; None if nothing is.
        """
        request_id = uuid.uuid4().hex
        with self.client.post(
            request.path,
            json=request.body,
            headers={"X-Request-Id": request_id},
            name=request.kind,
            catch_response=True,
        ) as response:
            if planned is not None:
                response.request_meta["response_time"] = 1e3 * (time.perf_counter() - planned)
            expected_id = request_id if self.echoes_ids else None
            fault = _fault(response, expected_id, request)
            # Said either way, for locust's own opinion of a status need not be ours.
            response.success() if fault is None else response.failure(fault)
        return fault


def _fault(response: FastResponse, expected_id: str | None, request: Request) -> str | None:
    """The first thing wrong with an answer, None if nothing is."""
    if response.status_code == 0:
        # Only answers that never came have it.
        return f"no answer: {type(getattr(response, 'error', None)).__name__}"
    headers: Any = {} if response.headers is None else response.headers
    if response.status_code != HTTPStatus.OK:
        # A service with too much to do says when to come back; one that is broken does not.
        shed = ", with Retry-After" if headers.get("Retry-After") else ""
        return f"the status must be 200, but is {response.status_code}{shed}"
    if expected_id is not None and headers.get("X-Request-Id") != expected_id:
        return "`X-Request-Id` must be echoed"
    try:
        answer = json.loads(response.content)
    except (TypeError, ValueError):
        return "the answer must be JSON"
    return request.fault_of(answer)


def not_negative(text: str) -> float:
    """The type of an option that is a number, 0 or more."""
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more, but is {text}")
    return value


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The options of every file with users, beside locust's own."""
    # A master sends the values to its workers, who know no types but those of JSON.
    parser.add_argument(
        "--texts",
        default="",
        metavar="FILE",
        help="sentences to translate, one a line (default: the project's own)",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--paragraphs",
        default="",
        metavar="FILE",
        help="paragraphs to translate, blank lines between them (default: the project's own)",
        include_in_web_ui=False,
    )
    parser.add_argument("--source", default="en", metavar="CODE", help="language of the texts")
    parser.add_argument("--target", default="de", metavar="CODE", help="language wanted")
    parser.add_argument(
        "--mix", choices=["", *MIXES], default="", help="kinds of requests (default: the users')"
    )
    parser.add_argument(
        "--foreign",
        action="store_true",
        help="the service is not Polyhead: it need not echo X-Request-Id",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed draws the same texts"
    )


@events.init.add_listener
def read_corpus(environment: Environment, **_: Any) -> None:
    """Before the first user is made; ends the run where the texts are no good."""
    options: Any = environment.parsed_options
    try:
        TranslationUser.corpus = Corpus.read(
            Path(options.texts or DEFAULT_SENTENCES), Path(options.paragraphs or DEFAULT_PARAGRAPHS)
        )
    except CorpusError as error:
        raise SystemExit(f"locust: {error}") from error


@events.test_start.add_listener
def read_corpus_of_master(environment: Environment, **_: Any) -> None:
    """A worker learns with the start which texts are wanted."""
    if isinstance(environment.runner, WorkerRunner):
        read_corpus(environment)
