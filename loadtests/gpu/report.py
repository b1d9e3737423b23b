"""What came of all stages: tables for people, and one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from loadtests.gpu.stages import Outcome

__all__ = ["TARGETS", "as_json_line", "as_table", "exit_code"]

SCHEMA = 1

TARGETS = {
    "throughput_beam1_tokens_per_second": 1.2e6,
    "throughput_beam4_tokens_per_second": 0.4e6,
    "alone_beam1_p50_ms": 8.0,
    "ratio_ctranslate2-float16_greedy": 3.0,
    "ratio_ctranslate2-float16_beam4": 3.0,
}
"""What is asked of one H200, for the paper's base model; milliseconds at most, others at least."""


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Targets first, then every figure by stage."""
    figures = merged(outcomes)
    lines = ["", "target                                                  wanted        found"]
    for name, wanted in TARGETS.items():
        found = figures.get(name)
        shown = "-" if found is None else f"{found:,.4g}"
        met = "" if found is None else "  met" if _meets(name, found, wanted) else "  MISSED"
        lines.append(f"{name:52} {wanted:>10,.4g} {shown:>12}{met}")
    for outcome in outcomes:
        lines += ["", f"{outcome.name}: {outcome.error or 'done'}, {outcome.seconds:.0f} s"]
        lines += [f"  {name:60} {_shown(value)}" for name, value in outcome.figures.items()]
    return "\n".join(lines)


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


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when every stage has done what it should."""
    return int(any(outcome.error is not None for outcome in outcomes))


def _meets(name: str, found: float, wanted: float) -> bool:
    return found <= wanted if name.endswith("_ms") else found >= wanted


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return str(value)
