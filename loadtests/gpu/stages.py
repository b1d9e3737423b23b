"""One stage after the other, each in a process of its own: what one breaks, others do not notice.

An error of a kernel takes the whole process's access to the device with it, and a stage that hangs
must not take the time of those behind it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.figures import shown

__all__ = ["Figures", "Outcome", "Stage", "run_stage"]


Value = float | int | str | bool | None


class Figures:
    """A flat dictionary in a file; what has been recorded survives whatever comes later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Value] = {}

    def record(self, name: str, value: Value) -> None:
        """Keeps a value, and shows it."""
        self._values[name] = value
        print(f"{name}: {shown(value)}", flush=True)
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._values), encoding="utf-8")
        os.replace(beside, self._path)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the check."""

    name: str
    seconds: float
    """Most of its time."""
    command: list[str]
    figures: Path
    """The file in which it leaves its figures, anew after each of them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a stage."""

    name: str
    seconds: float
    error: str | None
    """Why it failed; None if it did not."""
    figures: dict[str, Any]
    """Whatever it wrote before it ended."""


def run_stage(stage: Stage, *, at_most: float) -> Outcome:
    """Executes a stage; what it prints passes through.

    Args:
        at_most: seconds that are left for everything.
    """
    print(f"\n=== {stage.name} ===", flush=True)
    started = time.monotonic()
    limit = min(stage.seconds, at_most)
    if limit <= 0:
        return Outcome(name=stage.name, seconds=0.0, error="no time was left", figures={})
    # Of an earlier run
    stage.figures.unlink(missing_ok=True)
    process = subprocess.Popen(
        stage.command,
        # With the processes that it starts, so that all of them can be ended.
        start_new_session=True,
    )
    try:
        code = process.wait(timeout=limit)
        error = None if code == 0 else f"it ended with {code}"
    except subprocess.TimeoutExpired:
        error = f"it was ended after {limit:.0f} s"
    # Whoever is left of it would be in the way of the next one.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    seconds = time.monotonic() - started
    print(f"--- {stage.name}: {error or 'done'}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return Outcome(
        name=stage.name, seconds=seconds, error=error, figures=_read_figures(stage.figures)
    )


def _read_figures(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return figures
