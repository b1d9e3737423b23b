"""How fast waiting sequences are admitted, and so how long a new one would wait."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CAUTION", "QueueWaitEstimator"]

_HALF_LIFE_SECONDS = 2.0
"""After so many seconds during which somebody waited, an observation counts half."""
_NEWEST_SHARE = 0.05
CAUTION = 1.5
"""Those who would be done just in time take the place of others, and then a few tokens too many of
a neighbour make them all late: an admitted sequence should be done well before its deadline."""


class QueueWaitEstimator:
    """Source tokens admitted a second while somebody waits, lately more than long ago.

    Seconds in which nobody waits say nothing about how fast it could go, and are left out.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._last = 0.0
        self._running_seconds = 0.0

    def admitted(self, num_tokens: int, *, waiting_since: float, now: float) -> None:
        """Some of those who wait have their turn.

        Args:
            num_tokens: of their sources.
            waiting_since: since when somebody has always been waiting; in seconds, as is `now`.
        """
        seconds = max(0.0, now - max(self._last, waiting_since))
        left = 0.5 ** (seconds / _HALF_LIFE_SECONDS)
        self._tokens = self._tokens * left + num_tokens
        self._seconds = self._seconds * left + seconds
        self._last = now

    def finished(self, seconds: Iterable[float]) -> None:
        """Sequences had their results so long after their turns."""
        for each in seconds:
            self._running_seconds += _NEWEST_SHARE * (each - self._running_seconds)

    def meets_deadline(self, num_tokens: int, seconds_left: float) -> bool:
        """Whether a new sequence will probably be done in time.

        Args:
            num_tokens: source tokens that are admitted before it.
            seconds_left: until its deadline.
        """
        wait = self.seconds_for(num_tokens)
        return not wait or CAUTION * wait + self._running_seconds <= seconds_left

    def seconds_for(self, num_tokens: int) -> float:
        """How long so many source tokens take to have their turns; 0 while nothing is known."""
        return num_tokens * self._seconds / self._tokens if self._tokens else 0.0
