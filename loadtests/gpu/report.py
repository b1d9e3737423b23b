"""What came of all stages: tables for people, and one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any

from loadtests.bench.figures import shown
from loadtests.gpu.stages import Outcome
from loadtests.report import as_table

__all__ = ["TARGETS", "as_json_line", "as_text"]

SCHEMA = 1

TARGETS = {
    "throughput_beam1_tokens_per_second": 1.2e6,
    "throughput_beam4_tokens_per_second": 0.4e6,
    "alone_beam1_p50_ms": 8.0,
    "ratio_ctranslate2-float16_greedy": 3.0,
    "ratio_ctranslate2-float16_beam4": 3.0,
}
"""What is asked of one H200, for the paper's base model; milliseconds at most, others at least."""


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
