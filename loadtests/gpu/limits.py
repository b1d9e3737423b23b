"""How long each stage may take: half as much again as its parts took where they were measured.

A run leaves the seconds of its parts in `result.json`, by which the next one's limits are better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PARTS", "limits", "measured_parts"]

PARTS: dict[str, dict[str, float]] = {
    "kernels": {"compile": 45.0, "test": 35.0},
    "agreement": {"load": 6.0, "compile": 42.0, "plain loop": 25.0, "translate": 24.0},
    "steps": {"ceilings": 4.0, "compile": 16.0, "measure": 36.0},
    "throughput": {"compile": 16.0, "measure": 62.0},
    "alone": {"compile": 13.0, "measure": 15.0},
    "online": {"compile": 13.0, "measure": 30.0},
    "peers": {"compile": 13.0, "measure": 120.0},
}
"""Seconds, stages in the order of what must be known first. Kernels were compiled ahead of time on
a CPU, the plain loop was run there; what only a GPU can tell is estimated until one has told it."""

_SLACK = 1.5
_LEAST = 10.0
"""Seconds: what it takes to begin is little where it was measured, and may be more elsewhere."""
_FROM_CACHE = 0.1
"""What is left of compiling where the kernels are carried: half a second instead of 22."""


def limits(measured: Mapping[str, Mapping[str, float]], *, cached: bool) -> dict[str, float]:
    """The most seconds of every stage.

    Args:
        measured: parts of stages as an earlier run measured them; they take the place of ours.
        cached: whether compiled kernels were carried.
    """
    found = {}
    for stage, parts in PARTS.items():
        seconds = {**parts, **measured.get(stage, {})}
        if cached and "compile" not in measured.get(stage, {}):
            seconds["compile"] = seconds.get("compile", 0.0) * _FROM_CACHE
        found[stage] = max(_LEAST, _SLACK * sum(seconds.values()))
    return found


def measured_parts(result: Path | None) -> dict[str, dict[str, float]]:
    """The parts of the stages in an earlier run's `result.json` that came to their end.

    Raises:
        ValueError: the file cannot be read, or is none of these.
    """
    if result is None:
        return {}
    try:
        stages = json.loads(result.read_text(encoding="utf-8"))["stages"]
        return {
            name: {part: float(seconds) for part, seconds in stage.get("parts", {}).items()}
            for name, stage in stages.items()
            if stage["error"] is None
        }
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{result} must be the result of an earlier run: {error!r}") from error
