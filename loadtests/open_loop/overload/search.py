"""The rate at which a service gives the most right answers a second."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Peak", "Trial", "find_peak"]

_ROUGH_SECONDS = 4.0
"""Length of a trial that is to show no more than about where the limit is."""
_FINE_SECONDS = 10.0
"""Length of one whose answers are counted: at 300 a second, chance makes 2 % of them."""
_ROUGH_GROWTH = 2.0
_FINE_GROWTH = 1.15
"""Over the best so far: enough to keep the service busy, and little to refuse."""
_SATURATED = 0.8
"""Share of right answers, of the offered requests, below which a service is at its limit."""
_LEAST_GAIN = 0.02
_MISSES = 2
"""This many trials in a row without a gain end the search: one may have had bad luck."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a rate."""

    rate: float
    """Requests a second that were planned, on average."""
    planned: int
    """Requests, in fact."""
    answered: int
    """Right answers that came meanwhile."""
    seconds: float

    @property
    def goodput(self) -> float:
        """Right answers a second."""
        return self.answered / self.seconds

    @property
    def saturated(self) -> bool:
        """Whether so few were answered that chance cannot be why."""
        return self.answered < _SATURATED * self.planned - 2 * math.sqrt(self.planned)


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Where it was seen."""

    trial: Trial
    """The best one, which had luck as well: what is compared must be counted anew."""
    saturated: bool
    """False if the service bore the highest rate that was allowed: its peak may lie beyond."""


Try = Callable[[float, float], Awaitable[Trial]]
"""Offers a rate for so many seconds."""


async def find_peak(attempt: Try, *, first: float, highest: float, longest: float) -> Peak:
    """Doubles the rate until the service is at its end, then counts what it does there.

    Args:
        first: requests a second to begin with, which the service should bear.
        highest: requests a second that are never exceeded.
        longest: seconds of any trial.
    """
    rate = first
    rough_seconds, fine_seconds = min(_ROUGH_SECONDS, longest), min(_FINE_SECONDS, longest)
    rough = await attempt(rate, rough_seconds)
    while not rough.saturated and rate < highest:
        rate = min(highest, _ROUGH_GROWTH * rate)
        rough = await attempt(rate, rough_seconds)
    best: Trial | None = None
    misses = 0
    rate = first
    while misses < _MISSES:
        around = rough.goodput if best is None else best.goodput
        rate = min(highest, max(_FINE_GROWTH * around, rate))
        trial = await attempt(rate, fine_seconds)
        gained = best is None or trial.goodput > (1 + _LEAST_GAIN) * best.goodput
        misses = 0 if gained else misses + 1
        if best is None or trial.goodput > best.goodput:
            best = trial
    assert best is not None
    return Peak(trial=best, saturated=rough.saturated)
