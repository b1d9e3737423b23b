"""What is wrong with a part of the store, told once, however often it is met."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["Availability"]

_CALM_SECONDS = 10.0
"""Without a failure, after which the part is well again: a full disk takes small writes."""
_MOST_REASONS = 20
"""That are told until then."""

LOGGER = logging.getLogger("polyhead.store")


class Availability:
    """Logs that something cannot be used, and why; then that it can be again.

    Args:
        name: of the part, which begins both lines.
        clock: seconds.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._told: set[str] = set()
        """Reasons since it was well last."""
        self._failing: set[str] = set()
        """Uses that failed when they were tried last."""
        self._failed_at = 0.0

    def failed(self, use: str, reason: str) -> None:
        """A use of it, such as reading, has failed."""
        self._failing.add(use)
        self._failed_at = self._clock()
        if reason not in self._told and len(self._told) < _MOST_REASONS:
            self._told.add(reason)
            LOGGER.warning("%s cannot be used: %s", self._name, reason)

    def worked(self, use: str) -> None:
        """A use of it has succeeded."""
        if not self._failing:
            return
        if self._clock() >= self._failed_at + _CALM_SECONDS:
            self._failing.discard(use)
            if not self._failing:
                self._told.clear()
                LOGGER.warning("%s can be used again", self._name)
