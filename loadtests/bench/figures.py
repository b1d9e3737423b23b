"""Numbers of several rounds, and what is said about them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["Spread", "ratio", "shown", "spread"]


Spread = dict[str, Any]
"""One figure of several rounds, as the line of JSON has it."""


def spread(rounds: Sequence[float]) -> Spread:
    """The rounds, one or more, with their smallest, median and largest value."""
    return {
        "rounds": tuple(rounds),
        "min": min(rounds),
        "median": statistics.median(rounds),
        "max": max(rounds),
    }


def ratio(better: Sequence[float], worse: Sequence[float]) -> Spread:
    """Round by round, `better` over `worse`: both had the same conditions in a round, so drift of
    the machine falls out."""
    return spread([a / b for a, b in zip(better, worse, strict=True)])


def shown(value: object) -> str:
    """A value for people: four digits of a float, thousands in groups, anything else as it is."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return str(value)
