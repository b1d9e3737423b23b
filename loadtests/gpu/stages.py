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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from loadtests.bench.figures import shown
from loadtests.report import as_table

__all__ = ["TARGETS", "Figures", "Outcome", "Stage", "as_json_line", "as_text", "run_stage"]

Value = float | int | str | bool | None
SCHEMA = 1

TARGETS = {
    "throughput_beam1_tokens_per_second": 1.2e6,
    "throughput_beam4_tokens_per_second": 0.4e6,
    "alone_beam1_p50_ms": 8.0,
    "ratio_ctranslate2-float16_greedy": 3.0,
    "ratio_ctranslate2-float16_beam4": 3.0,
}
"""What is asked of one H200, for the paper's base model; milliseconds at most, others at least."""


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


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Targets first, then every figure by stage."""
    figures = merged(outcomes)
    targets = [
        [name, shown(wanted), *_verdict(name, figures.get(name), wanted)]
        for name, wanted in TARGETS.items()
    ]
    parts = ["", as_table((["target", "wanted", "found", ""], targets))]
    for outcome in outcomes:
        parts.append(f"\n{outcome.name}: {outcome.error or 'done'}, {outcome.seconds:.0f} s")
        rows = [[name, shown(value)] for name, value in outcome.figures.items()]
        if rows:
            parts.append(indent(as_table(([], rows)), "  "))
    return "\n".join(parts)


def as_json_line(outcomes: Sequence[Outcome], environment: dict[str, Any]) -> str:
    """One object."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "environment": environment,
            "stages": {
                outcome.name: {"seconds": round(outcome.seconds, 1), "error": outcome.error}
                for outcome in outcomes
            },
            "targets": TARGETS,
            "figures": merged(outcomes),
        },
        ensure_ascii=False,
    )


def merged(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All figures; their names differ between stages."""
    return {name: value for outcome in outcomes for name, value in outcome.figures.items()}


def _verdict(name: str, found: float | None, wanted: float) -> tuple[str, str]:
    """What was found, and whether it is enough."""
    if found is None:
        return "-", ""
    met = found <= wanted if name.endswith("_ms") else found >= wanted
    return shown(found), "met" if met else "MISSED"
