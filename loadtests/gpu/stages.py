"""One stage after the other, each in a process of its own: what one breaks, others do not notice.

An error of a kernel takes the whole process's access to the device with it, and a stage that hangs
must not take the time of those behind it. Nothing here waits without a bound, and what is known
is on disk: the report is written anew while stages run, whoever ends this process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import indent
from typing import Any

from loadtests.report import as_table, shown

__all__ = ["TARGETS", "Figures", "Outcome", "Report", "as_json_line", "as_text", "run_stage"]

Value = float | int | str | bool | None
Outcome = dict[str, Any]
"""What came of a stage: its seconds, its error (None if it did not fail), and the figures and the
seconds of its parts that it wrote before it ended."""
SCHEMA = 2

TARGETS = {
    "throughput_beam1_tokens_per_second": 1.2e6,
    "throughput_beam4_tokens_per_second": 0.4e6,
    "alone_beam1_p50_ms": 8.0,
    "ratio_ctranslate2-float16_greedy": 3.0,
    "ratio_ctranslate2-float16_beam4": 3.0,
}
"""What is asked of one H200, for the paper's base model; milliseconds at most, others at least."""

_LOOK_SECONDS = 1.0
"""What the report may lack of a stage when this process is killed."""
_LAST_SECONDS = 3.0
"""For a killed process to be gone: one that waits for a driver may never be."""


class Figures:
    """A flat dictionary in a file; what has been recorded survives whatever comes later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Value] = {}
        self._parts: dict[str, float] = {}

    def record(self, name: str, value: Value) -> None:
        """Keeps a value, and shows it."""
        self._values[name] = value
        print(f"{name}: {shown(value)}", flush=True)
        self._write()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Keeps how long what is done within it takes: see `loadtests.gpu.limits`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._parts[name] = self._parts.get(name, 0.0) + time.monotonic() - began
            self._write()

    def _write(self) -> None:
        _write_whole(self._path, json.dumps({"figures": self._values, "parts": self._parts}))


class Report:
    """A table and a line of JSON in two files, whole at any time.

    Args:
        folder: for `table.txt` and `result.json`.
        stages: that are to come.
    """

    def __init__(self, folder: Path, stages: Sequence[str]) -> None:
        self._folder = folder
        self._environment: dict[str, Any] = {}
        self.outcomes: dict[str, Outcome] = {
            stage: _outcome("it was not begun") for stage in stages
        }
        self._write()

    def describe(self, environment: Mapping[str, Any]) -> None:
        """Says what the stages run on."""
        self._environment = dict(environment)
        self._write()

    def note(self, stage: str, outcome: Outcome) -> None:
        """Takes in what a stage has come to."""
        self.outcomes[stage] = outcome
        self._write()

    @property
    def text(self) -> str:
        """Both, one behind the other."""
        return f"{as_text(self.outcomes)}\n\n{as_json_line(self.outcomes, self._environment)}"

    def _write(self) -> None:
        line = as_json_line(self.outcomes, self._environment)
        # Last what programs read: whoever finds it new finds the table as new.
        _write_whole(self._folder / "table.txt", as_text(self.outcomes) + "\n")
        _write_whole(self._folder / "result.json", line + "\n")


def run_stage(
    name: str,
    command: Sequence[str],
    figures: Path,
    *,
    at_most: float,
    note: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Executes a stage; what it prints passes through.

    Args:
        figures: the file in which it leaves its figures, anew after each of them.
        at_most: seconds.
        note: is told now and then how far it is, and in any case before this returns or raises.
    """
    print(f"\n=== {name} ===", flush=True)
    if at_most <= 0:
        note(outcome := _outcome("no time was left"))
        return outcome
    started = time.monotonic()
    # Of an earlier run
    figures.unlink(missing_ok=True)
    error: str | None = "it was interrupted"
    # With the processes that it starts, so that all of them can be ended.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while (left := started + at_most - time.monotonic()) > 0 and process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=min(left, _LOOK_SECONDS))
            note(_outcome("it is under way", time.monotonic() - started, figures))
        code = process.poll()
        error = f"it was ended after {at_most:.0f} s" if code is None else _ending(code)
    finally:
        if not _end(process):
            error = f"{error}, and its process cannot be ended"
        seconds = time.monotonic() - started
        outcome = _outcome(error, seconds, figures)
        note(outcome)
    print(f"--- {name}: {error or 'done'}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return outcome


def _ending(code: int) -> str | None:
    if code >= 0:
        return f"it ended with {code}" if code else None
    return f"it was ended by signal {-code}"


def _end(process: subprocess.Popen[bytes]) -> bool:
    """Kills whoever is left of a stage, and would be in the way of the next one."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_LAST_SECONDS)
    return process.returncode is not None


def _outcome(error: str | None, seconds: float = 0.0, figures: Path | None = None) -> Outcome:
    found: dict[str, Any] = {}
    if figures is not None:
        with suppress(OSError, json.JSONDecodeError):
            found = json.loads(figures.read_text(encoding="utf-8"))
    return {"seconds": seconds, "error": error, "figures": {}, "parts": {}} | found


def _write_whole(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def as_text(outcomes: Mapping[str, Outcome]) -> str:
    """Targets first, then every figure by stage."""
    figures = merged(outcomes)
    targets = [
        [name, shown(wanted), *_verdict(name, figures.get(name), wanted)]
        for name, wanted in TARGETS.items()
    ]
    parts = ["", as_table((["target", "wanted", "found", ""], targets))]
    for stage, outcome in outcomes.items():
        parts.append(f"\n{stage}: {outcome['error'] or 'done'}, {outcome['seconds']:.0f} s")
        if rows := [[name, shown(value)] for name, value in outcome["figures"].items()]:
            parts.append(indent(as_table(([], rows)), "  "))
    return "\n".join(parts)


def as_json_line(outcomes: Mapping[str, Outcome], environment: dict[str, Any]) -> str:
    """One object."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "environment": environment,
            "stages": {
                stage: {
                    "seconds": round(outcome["seconds"], 1),
                    "error": outcome["error"],
                    "parts": {name: round(value, 1) for name, value in outcome["parts"].items()},
                }
                for stage, outcome in outcomes.items()
            },
            "targets": TARGETS,
            "figures": merged(outcomes),
        },
        ensure_ascii=False,
    )


def merged(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """All figures; their names differ between stages."""
    return {name: value for one in outcomes.values() for name, value in one["figures"].items()}


def _verdict(name: str, found: float | None, wanted: float) -> tuple[str, str]:
    """What was found, and whether it is enough."""
    if found is None:
        return "-", ""
    met = found <= wanted if name.endswith("_ms") else found >= wanted
    return shown(found), "met" if met else "MISSED"
