"""How fast those who wait have their turns, and so how long a newcomer would wait."""

from __future__ import annotations

__all__ = ["Pace"]

_HALF_LIFE_SECONDS = 2.0
"""Of what has been seen, in seconds during which somebody waited."""
_NEWEST_SHARE = 0.05
_CAUTION = 1.5
"""Those who would be done just in time take the place of others, and then a few tokens too many of
a neighbour make them all late: whoever is let in should be done well before."""


class Pace:
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

    def finished(self, seconds: float) -> None:
        """A sequence had its result so long after its turn."""
        self._running_seconds += _NEWEST_SHARE * (seconds - self._running_seconds)

    def allows(self, num_tokens: int, seconds_left: float) -> bool:
        """Whether a newcomer can be expected to be done by then, if so many go before it."""
        wait = self.seconds_for(num_tokens)
        return not wait or _CAUTION * wait + self._running_seconds <= seconds_left

    def seconds_for(self, num_tokens: int) -> float:
        """How long so many source tokens take to have their turns; 0 while nothing is known."""
        return num_tokens * self._seconds / self._tokens if self._tokens else 0.0
