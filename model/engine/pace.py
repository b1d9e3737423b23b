"""How fast those who wait have their turns, and so how long a newcomer would wait."""

from __future__ import annotations

__all__ = ["Pace"]

_HALF_LIFE_SECONDS = 2.0
"""Of what has been seen, in seconds during which somebody waited."""


class Pace:
    """Source tokens admitted a second while somebody waits, lately more than long ago.

    Seconds in which nobody waits say nothing about how fast it could go, and are left out.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._last = 0.0

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

    def seconds_for(self, num_tokens: int) -> float:
        """How long so many source tokens take to have their turns; 0 while nothing is known."""
        return num_tokens * self._seconds / self._tokens if self._tokens else 0.0
