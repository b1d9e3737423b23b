"""Numbers of several rounds, and what is said about them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

__all__ = ["Spread", "percentile", "ratio", "shown"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One figure of several rounds."""

    rounds: tuple[float, ...]
    min: float
    median: float
    max: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Self:
        """The spread of one round or more."""
        return cls(
            rounds=tuple(rounds),
            min=min(rounds),
            median=statistics.median(rounds),
            max=max(rounds),
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or `share` is not in (0, 1].
    """
    if not values or not 0.0 < share <= 1.0:
        raise ValueError(f"a percentile needs values and a share in (0, 1], but it is {share}")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def ratio(better: Sequence[float], worse: Sequence[float]) -> Spread:
    """Round by round, `better` over `worse`: both had the same conditions in a round, so drift of
    the machine falls out."""
    return Spread.of([a / b for a, b in zip(better, worse, strict=True)])


def shown(value: object) -> str:
    """A value for people: four digits of a float, thousands in groups, anything else as it is."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return str(value)
