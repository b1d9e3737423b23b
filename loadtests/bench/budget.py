"""As much as the time allows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

__all__ = ["Budget", "fitting"]

_ROOM = 0.9
"""Share of the time that is planned with: the rest is for processes that end, and for chance."""


class Budget:
    """The time that a run has, from now on.

    Args:
        minutes: None is as long as it takes.
    """

    def __init__(self, minutes: float | None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes * _ROOM

    def left(self) -> float:
        """Seconds, infinite where there is no bound; never negative."""
        return max(0.0, self._end - time.monotonic())


def fitting(seconds: float, costs: Mapping[str, float], *, most: float) -> float:
    """How much of something all contenders can have, the same for each of them.

    Args:
        seconds: for one turn of each.
        costs: seconds that one of it takes each contender.
        most: there is no more of it.

    Returns:
        At least one, where `most` is.
    """
    total = sum(costs.values())
    return min(most, max(1.0, seconds / total)) if total > 0 else most
