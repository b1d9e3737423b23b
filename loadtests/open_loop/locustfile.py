"""Requests at planned times, for locust: an open loop, so that slow answers do not hide load.

    locust -f loadtests/open_loop/locustfile.py --headless --shape ramp --rate 5 --peak 50 \\
        --host http://127.0.0.1:8000

`polyhead loadtest` runs this file and makes a report of what it records; alone, it shows locust's
own statistics, with response times that count from the planned times.

Each user of locust is a source of arrivals, one in each process: it draws Poisson arrivals at its
share of the profile's rate and starts a request at each, whether or not earlier ones were answered.
When all its places in flight are taken, a request waits for one, and its latency grows; one that
has waited for `--max-wait` seconds is not sent any more, and counted as that.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Group
from locust import LoadTestShape, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtests.mix import Request
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.profiles import PLANNED, Profile, poisson_arrivals, profile_named
from loadtests.open_loop.record import Record
from loadtests.users import TranslationUser, not_negative

_REPORT_SECONDS = 1.0
_GRACE_SECONDS = 15.0
"""Beyond the last moment at which an answer may come; then a worker must have been lost."""
_KEY = "polyhead"
"""Of what this file adds to a worker's reports."""


class Ledger:
    """What this process, and on a master its workers, have recorded since they last reported."""

    def __init__(self) -> None:
        self.record = Record()
        self.began: float | None = None
        """In `time.perf_counter()` seconds."""
        self.finished = 0

    def take(self) -> Record:
        """All of it; the next one starts empty."""
        taken, self.record = self.record, Record()
        if self.began is not None:
            taken.elapsed = time.perf_counter() - self.began
        self.finished += taken.finished
        return taken


ledger = Ledger()


class Source(TranslationUser):
    """Independent people, each with one request."""

    def __init__(self, environment: Environment) -> None:
        """Takes its share of the places in flight."""
        options: Any = environment.parsed_options
        self.rate_share = 1 / options.sources
        self.concurrency = max(1, options.in_flight // options.sources)
        self.network_timeout = self.connection_timeout = options.timeout
        super().__init__(environment)
        self.longest_wait: float = options.max_wait
        self.places = BoundedSemaphore(self.concurrency)
        self.requests = Group()

    @task
    def follow_the_profile(self) -> None:
        """From the first arrival to the last answer."""
        profile = _profile(self.environment)
        began = time.perf_counter()
        ledger.began = began if ledger.began is None else min(began, ledger.began)
        try:
            for arrival in poisson_arrivals(profile, self.rate_share, self.rng):
                request = self.mix.draw(self.rng)
                gevent.sleep(max(0.0, began + arrival - time.perf_counter()))
                ledger.record.plan(request.kind, int(arrival))
                self.requests.spawn(self._attempt, request, began, arrival)
            # A process that fell silent early must not end the test for the others.
            gevent.sleep(max(0.0, began + profile.seconds - time.perf_counter()))
            self.requests.join()
        finally:
            self.requests.kill(block=False)
        ledger.record.finished += 1
        Event().wait()  # for the end of the test

    def _attempt(self, request: Request, began: float, arrival: float) -> None:
        planned = began + arrival
        patience = max(0.0, planned + self.longest_wait - time.perf_counter())
        if not self.places.acquire(timeout=patience):
            ledger.record.leave_unsent(request.kind, int(arrival))
            return
        try:
            ledger.record.send(time.perf_counter() - planned)
            fault = self.send(request, planned=planned)
        finally:
            self.places.release()
        ledger.record.answer(request.kind, arrival, time.perf_counter() - began, fault)


class UntilAllIsAnswered(LoadTestShape):
    """One source in each process, until all of them have finished."""

    sources = 0

    def tick(self) -> tuple[int, float] | None:
        """Users and how many start in a second, as locust wants it; None at the end."""
        assert self.runner is not None
        environment = self.runner.environment
        options: Any = environment.parsed_options
        if not self.sources:
            self.sources = options.sources = _num_processes(self.runner)
        longest = _profile(environment).seconds + options.max_wait + options.timeout
        late = self.get_run_time() > longest + _GRACE_SECONDS
        if late or ledger.finished + ledger.record.finished >= self.sources:
            return None
        return self.sources, float(self.sources)


def _num_processes(runner: Runner) -> int:
    return max(1, runner.worker_count) if isinstance(runner, MasterRunner) else 1


def _profile(environment: Environment) -> Profile:
    options: Any = environment.parsed_options
    return profile_named(
        options.shape,
        rate=options.rate,
        peak=options.peak,
        seconds=options.shape_seconds,
        growth=options.growth,
    )


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The options of this file, beside locust's own and those of all users."""
    number: Any = {"type": float, "metavar": "N"}
    parser.add_argument("--shape", choices=list(PLANNED), default="constant")
    parser.add_argument("--rate", default=10.0, help="requests a second", **number)
    parser.add_argument("--peak", help="requests a second at the peak", **number)
    parser.add_argument(
        "--shape-seconds", type=int, metavar="N", help="of the whole; in steps, of each"
    )
    parser.add_argument("--growth", default=1.25, help="of a step over the last", **number)
    parser.add_argument(
        "--in-flight", type=int, default=256, metavar="N", help="most requests at the same time"
    )
    parser.add_argument(
        "--max-wait",
        type=not_negative,
        default=1.0,
        metavar="SECONDS",
        help="for a place in flight; a request that finds none is not sent, and counted",
    )
    parser.add_argument(
        "--timeout",
        type=not_negative,
        default=60.0,
        metavar="SECONDS",
        help="without a word from the service, after which a request has failed",
    )
    parser.add_argument(
        "--record", action="store_true", help="write lines of JSON for `polyhead loadtest`"
    )


@events.init.add_listener
def prepare(environment: Environment, runner: Runner, **_: Any) -> None:
    """Checks the profile, and connects workers with their master and this process with a reader."""
    options: Any = environment.parsed_options
    options.sources = 1
    try:
        _profile(environment)
    except LoadTestError as error:
        raise SystemExit(f"locust: {error}") from error
    if isinstance(runner, WorkerRunner):
        environment.events.report_to_master.add_listener(_report_to_master)
        return
    if isinstance(runner, MasterRunner):
        environment.events.worker_report.add_listener(_take_report)
    if options.record:
        # locust listens for it only after a shape has ended.
        gevent.signal_handler(signal.SIGTERM, runner.quit)
        gevent.spawn(_write_records, runner)
        environment.events.quit.add_listener(_write_last_record)


def _report_to_master(client_id: str, data: dict[str, Any]) -> None:
    data[_KEY] = ledger.take().as_json()


def _take_report(client_id: str, data: dict[str, Any]) -> None:
    if _KEY in data:
        ledger.record.merge(Record.from_json(data[_KEY]))


def _write_records(runner: Runner) -> None:
    while True:
        gevent.sleep(_REPORT_SECONDS)
        try:
            _write_record()
        except OSError:  # nobody reads any more
            runner.quit()
            return


def _write_record() -> None:
    sys.stdout.write(json.dumps(ledger.take().as_json()) + "\n")
    sys.stdout.flush()


def _write_last_record(exit_code: int) -> None:
    _write_record()
