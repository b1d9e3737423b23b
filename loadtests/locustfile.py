"""Users of a translation service who wait for answers, for locust.

    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 20s --host http://127.0.0.1:8000

Each user mixes its requests: most bring one sentence, some a text of several paragraphs, some a
list as programs send it, and some speak LibreTranslate's form; `--mix` takes one kind alone. Every
answer is checked; an answer that is wrong in any way is a failure, and with a failure, or with no
request at all, the exit status is 1.

What the figures mean: each user waits for its answer before it asks again (a closed loop), so more
users mean more work at the same time, and a slow service is asked less often: what a service does
when more comes than it can bear shows in `polyhead loadtest`. The times are those of whole
requests as the client sees them, connections kept open. Translations are not judged.
"""

from __future__ import annotations

import argparse
import math
import random
import uuid
from itertools import count
from typing import Any

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastResponse
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.corpus import Corpus
from loadtests.mix import MIXES, Mix, Request


class TranslationUser(FastHttpUser):
    """Asks, waits for the answer, thinks, asks again."""

    corpus = Corpus.read()
    numbers = count()

    def __init__(self, environment: Environment) -> None:
        """Gives each user texts of its own, the same ones in every run with this seed."""
        super().__init__(environment)
        options: Any = environment.parsed_options
        worker = max(0, getattr(environment.runner, "worker_index", 0))
        self.rng = random.Random(f"{options.seed}/{worker}/{next(self.numbers)}")
        self.mix = Mix(options.mix, self.corpus, options.source, options.target)

    def wait_time(self) -> float:
        """Seconds until the next request: exponential, as independent people are."""
        options: Any = self.environment.parsed_options
        return self.rng.expovariate(1 / options.think_seconds) if options.think_seconds else 0.0

    @task
    def ask(self) -> None:
        """Sends one request of this user's mix, and judges the answer."""
        request, request_id = self.mix.draw(self.rng), uuid.uuid4().hex
        with self.client.post(
            request.path,
            json=request.body,
            headers={"X-Request-Id": request_id, "Cache-Control": "no-cache"},
            name=request.kind,
            catch_response=True,
        ) as response:
            fault = _fault(response, request_id, request)
            # Said either way, for locust's own opinion of a status need not be ours.
            response.success() if fault is None else response.failure(fault)


def _fault(response: FastResponse, request_id: str, request: Request) -> str | None:
    """The first thing wrong with an answer, None if nothing is."""
    if response.status_code == 0:
        # Only answers that never came have it.
        return f"no answer: {type(getattr(response, 'error', None)).__name__}"
    headers: Any = {} if response.headers is None else response.headers
    has_retry_after = bool(headers.get("Retry-After"))
    content = response.content or b""
    fault = request.fault(response.status_code, content, has_retry_after=has_retry_after)
    if fault is None and headers.get("X-Request-Id") != request_id:
        return "`X-Request-Id` must be echoed"
    return fault


def not_negative(text: str) -> float:
    """The type of an option that is a number, 0 or more."""
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more, but is {text}")
    return value


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The options of this file, beside locust's own."""
    # A master sends the values to its workers, who know no types but those of JSON.
    parser.add_argument("--source", default="en", metavar="CODE", help="language of the texts")
    parser.add_argument("--target", default="de", metavar="CODE", help="language wanted")
    parser.add_argument("--mix", choices=list(MIXES), default="realistic", help="kinds of requests")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed draws the same texts"
    )
    parser.add_argument(
        "--think-seconds",
        type=not_negative,
        default=0.0,
        metavar="SECONDS",
        help="mean pause of a user between an answer and the next request (default: none)",
    )


@events.quitting.add_listener
def refuse_an_empty_run(environment: Environment, **_: Any) -> None:
    """A run in which nothing was asked has shown nothing."""
    if isinstance(environment.runner, WorkerRunner):
        return  # it has reported its statistics, and forgotten them
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1
