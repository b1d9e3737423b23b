"""Runs locust as a process of its own, and gathers what it records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import IO

from tqdm import tqdm

from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.record import Record
from loadtests.open_loop.steps import is_saturated
from service.launcher.ports import free_port

__all__ = ["Ending", "generate_load"]

_ROOT = Path(__file__).parents[2]
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_STOP_SECONDS = 8.0
"""From asking locust to end to ending it."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LATELY = 5


class Ending(StrEnum):
    """Why there was no more load."""

    COMPLETE = "complete"
    SATURATED = "saturated"
    """The knee was found, and higher steps were left out."""
    INTERRUPTED = "interrupted"


def generate_load(options: LoadTestOptions) -> tuple[Record, Ending]:
    """Offers the load of a profile until it is over, Ctrl-C, or the knee; progress is on stderr.

    Raises:
        LoadTestError: the load generator failed, or was ended before it had begun.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with _locust(options, errors) as locust, _stopped_by_signals(locust) as interrupted:
            record, saturated = _follow(options, locust)
            locust.wait()
        if not record.elapsed and not interrupted:
            errors.seek(0)
            raise LoadTestError(f"the load generator failed: {_last_line(errors.read())}")
    if not record.elapsed:
        raise LoadTestError("ended before anything was sent")
    if interrupted:
        return record, Ending.INTERRUPTED
    return record, Ending.SATURATED if saturated else Ending.COMPLETE


def _follow(options: LoadTestOptions, locust: subprocess.Popen[str]) -> tuple[Record, bool]:
    """All that locust says until it ends, and whether that was for saturation."""
    record, saturated = Record(), False
    profile = options.profile
    wanted = None if options.knee_p95_ms is None else options.knee_p95_ms / 1e3
    total = round(profile.seconds)
    with tqdm(total=total, unit="s", desc=profile.name, file=sys.stderr) as bar:
        for line in locust.stdout or ():
            record.merge(Record.from_json(json.loads(line)))
            bar.n = min(round(record.elapsed), total)
            bar.set_postfix_str(_lately(record, total))
            if not saturated and is_saturated(record, profile, wanted):
                saturated = True
                _stop(locust)
    return record, saturated


def _lately(record: Record, total: int) -> str:
    """How it went in the last seconds, in a few words."""
    last = int(min(record.elapsed, total))
    tally = record.between(last - _LATELY, last)
    seconds = max(1, min(_LATELY, last))
    p95 = tally.latencies.percentile(0.95)
    shown = "" if p95 is None else f", p95 {1e3 * p95:.0f} ms"
    failed = sum(t.failed + t.unsent for t in record.kinds.values())
    return f"{tally.planned / seconds:.1f} requests/s{shown}, {failed} failed"


@contextmanager
def _locust(options: LoadTestOptions, errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """A process with a session of its own: a terminal's Ctrl-C reaches it only through this one."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("LOCUST_")}
    path = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "locust", *_arguments(options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=_ROOT,
        env={**environment, "PYTHONPATH": path},
        text=True,
        start_new_session=True,
    )
    try:
        with process:
            yield process
    finally:
        _kill(process)


def _arguments(options: LoadTestOptions) -> list[str]:
    values = {
        "locustfile": _LOCUSTFILE,
        "host": options.url.rstrip("/"),
        "shape": options.profile_name,
        "rate": options.rate,
        "peak": options.peak,
        "shape-seconds": options.seconds,
        "growth": options.growth,
        "mix": options.mix,
        "source": options.source,
        "target": options.target,
        "texts": options.text and options.text.resolve(),
        "paragraphs": options.paragraphs and options.paragraphs.resolve(),
        "in-flight": options.places,
        "max-wait": options.max_wait,
        "timeout": options.timeout,
        "seed": options.seed,
        "exit-code-on-error": 0,
    }
    flags = ["--headless", "--record", "--skip-log-setup"] + ["--foreign"] * options.foreign
    if options.workers:
        flags += ["--master", f"--expect-workers={options.workers}"]
    elif options.processes > 1:
        port = free_port()
        flags += [
            f"--processes={options.processes}",
            *("--master-host=127.0.0.1", f"--master-port={port}"),
            *("--master-bind-host=127.0.0.1", f"--master-bind-port={port}"),
        ]
    return flags + [f"--{name}={value}" for name, value in values.items() if value is not None]


@contextmanager
def _stopped_by_signals(locust: subprocess.Popen[str]) -> Iterator[list[int]]:
    """While it lasts, a signal asks locust to end; the signals that came are in the list."""
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            _stop(locust)
        else:  # impatience
            _kill(locust)

    before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(locust: subprocess.Popen[str]) -> None:
    """Asks it to report what it has and to end; insists when it does not."""
    with suppress(ProcessLookupError):
        locust.terminate()
    insist = threading.Timer(_STOP_SECONDS, _kill, [locust])
    insist.daemon = True
    insist.start()


def _kill(locust: subprocess.Popen[str]) -> None:
    """It and the workers it has started."""
    with suppress(ProcessLookupError):
        os.killpg(locust.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
