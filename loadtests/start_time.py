"""`python -m loadtests.start_time [-- OPTION...]`: from `polyhead serve` to its first answer.

Starts it again and again, with these options, which must not take the pair en-de away, on a port of
its own, and asks it for a translation until that comes. Where the time goes is what the service
itself says at log level debug. The first start is not counted: it may compile, and reads from a
disk what later ones find in memory.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from loadtests.corpus import LoadTestError
from loadtests.processes import end, family, start_python
from loadtests.report import as_table, conditions, spread
from service.launcher.ports import free_port

__all__ = ["Start", "app", "main", "measure", "start_once"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_SERVE = ("-c", "from service.cli import main; main()", "serve")
_MOST_SECONDS = 180.0
_END_SECONDS = 20.0
_PAUSE_SECONDS = 0.02
_TAIL_CHARS = 2000
_PHASE = re.compile(r"^ +start +([\d.]+) s  (.+)$", re.MULTILINE)
_LAST_LINE = "Ctrl-C ends it."
_READY = re.compile(r"ready after ([\d.]+) s")
_BODY = {"text": "Good evening.", "source": "en", "target": "de"}
_TRANSLATION = "Guten Abend."


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a start took; all but the CPU time is seconds that have passed."""

    phases: dict[str, float]
    """By the service's names, in their order."""
    ready: float
    """By the service itself, from the start of its process on."""
    first_answer: float
    """From before the process until the whole answer is there."""
    cpu_seconds: float
    """What all its processes have computed until then."""


@app.command()
def measure(
    options: Annotated[list[str] | None, typer.Argument(help="Of `polyhead serve`.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Starts that count.")] = 3,
) -> None:
    """A table: medians, with the least and the most. The last line is one object of JSON."""
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="start-") as scratch:
        # One more, which does not count.
        starts = [
            start_once(_SERVE, options or (), Path(scratch, str(number)))
            for number in range(runs + 1)
        ][1:]
    figures = _figures(starts)
    rows = [
        [name, *(f"{each[key]:.2f}" for key in ("median", "min", "max"))]
        for name, each in figures.items()
    ]
    print(as_table((["seconds", "median", "least", "most"], rows), "github"))
    facts = conditions(started, ("polyhead", "ray"))
    print(json.dumps({"schema": 1, "options": options or [], "starts": figures, **facts}))


def start_once(program: Sequence[str], options: Sequence[str], folder: Path) -> Start:
    """Starts a service, asks it, and ends it.

    Args:
        program: arguments of Python that make it `polyhead serve`.
        options: of `polyhead serve`.
        folder: for its log, to be made.

    Raises:
        LoadTestError: it ended, or its first answer was wrong or did not come in 180 s.
    """
    folder.mkdir()
    log, port = folder / "log", free_port()
    command = [*program, "--port", str(port), *options]
    began = time.monotonic()
    process = start_python(command, log, {"POLYHEAD_LOG_LEVEL": "debug"})
    try:
        _wait_for_answer(process, f"http://127.0.0.1:{port}", log)
        seconds = time.monotonic() - began
        spent = _cpu_seconds(process.pid)
        # It answers before it prints its banner.
        while _LAST_LINE not in (said := log.read_text(errors="replace")):
            _raise_if_over(process, log, began)
    finally:
        process.send_signal(signal.SIGINT)
        end(process, _END_SECONDS)
    [ready] = _READY.findall(said)
    phases = {name: float(number) for number, name in _PHASE.findall(said)}
    return Start(phases=phases, ready=float(ready), first_answer=seconds, cpu_seconds=spent)


def _wait_for_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    began = time.monotonic()
    with httpx.Client(base_url=url, timeout=_MOST_SECONDS, trust_env=False, verify=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post("/v1/translate", json=_BODY)
                if answer.is_success:
                    break
            _raise_if_over(process, log, began)
    texts = [each["text"] for each in answer.json()["translations"]]
    if texts != [_TRANSLATION]:
        raise LoadTestError(f"the first answer must be {_TRANSLATION!r}, but is {texts}")


def _raise_if_over(process: subprocess.Popen[bytes], log: Path, began: float) -> None:
    """Waits for a moment; LoadTestError if the service has ended, or has had its time."""
    time.sleep(_PAUSE_SECONDS)
    if process.poll() is not None or time.monotonic() > began + _MOST_SECONDS:
        tail = log.read_text(errors="replace")[-_TAIL_CHARS:]
        raise LoadTestError(
            f"the service must answer within {_MOST_SECONDS:.0f} s, but has not:\n{tail}"
        )


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and all below it, those that have ended included."""
    total = 0.0
    for process, _ in family(psutil.Process(pid), ""):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def _figures(starts: Sequence[Start]) -> dict[str, dict[str, Any]]:
    """What is told of them, by name."""
    names = list(starts[0].phases)
    found = {name: [each.phases[name] for each in starts] for name in names}
    found["ready, as the banner says"] = [each.ready for each in starts]
    found["first answer"] = [each.first_answer for each in starts]
    found["CPU time of all processes"] = [each.cpu_seconds for each in starts]
    return {name: spread(values) for name, values in found.items()}


def main() -> int:
    """Runs the command; 1 if a service did not start, or answered wrongly."""
    try:
        app(prog_name="python -m loadtests.start_time", standalone_mode=False)
    except LoadTestError as error:
        print(f"polyhead: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
