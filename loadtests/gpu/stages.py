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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from typing import Any

from loadtests.report import as_table, shown

__all__ = ["TARGETS", "Figures", "Outcome", "as_json_line", "as_text", "run_stage"]

Value = float | int | str | bool | None
Outcome = dict[str, Any]
"""What came of a stage: its seconds, its error (None if it did not fail), and the figures that it
wrote before it ended."""
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


def run_stage(name: str, command: Sequence[str], figures: Path, *, at_most: float) -> Outcome:
    """Executes a stage; what it prints passes through.

    Args:
        figures: the file in which it leaves its figures, anew after each of them.
        at_most: seconds.
    """
    print(f"\n=== {name} ===", flush=True)
    if at_most <= 0:
        return {"seconds": 0.0, "error": "no time was left", "figures": {}}
    started = time.monotonic()
    # Of an earlier run
    figures.unlink(missing_ok=True)
    # With the processes that it starts, so that all of them can be ended.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(timeout=at_most)
        error = None if code == 0 else f"it ended with {code}"
    except subprocess.TimeoutExpired:
        error = f"it was ended after {at_most:.0f} s"
    # Whoever is left of it would be in the way of the next one.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    seconds = time.monotonic() - started
    print(f"--- {name}: {error or 'done'}, {seconds:.0f} s", file=sys.stderr, flush=True)
    found: dict[str, Value] = {}
    with suppress(OSError, json.JSONDecodeError):
        found = json.loads(figures.read_text(encoding="utf-8"))
    return {"seconds": seconds, "error": error, "figures": found}


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
                stage: {"seconds": round(outcome["seconds"], 1), "error": outcome["error"]}
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
