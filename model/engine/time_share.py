"""How a worker's time is shared between light sequences and heavy ones. Seconds, no clock."""

from __future__ import annotations

__all__ = ["GUARANTEED_SHARE", "TimeShare"]

GUARANTEED_SHARE = 0.25
"""Least share of the time that heavy sequences have in the long run, whatever light ones come."""

_MOST_OWED_SECONDS = 0.05
"""Time of heavy sequences. Light ones go before them for three times as long at a stretch."""


class TimeShare:
    """A balance: heavy sequences lend time while light ones run without them, and are paid back.

    It is bounded on both sides, so that neither is paid for what was long ago.
    """

    def __init__(self) -> None:
        self._owed_seconds = -_MOST_OWED_SECONDS
        self._owed_per_second = 0.0

    @property
    def heavy_are_owed(self) -> bool:
        """Whether heavy sequences have had less than their share."""
        return self._owed_seconds > 0

    def begin(self, *, heavy_run: bool, heavy_wait: bool) -> None:
        """What happens until `end`: heavy sequences take part, or wait for those who do."""
        lent = GUARANTEED_SHARE / (1 - GUARANTEED_SHARE)
        self._owed_per_second = -1.0 if heavy_run else lent if heavy_wait else 0.0

    def end(self, seconds: float) -> None:
        """So long it took."""
        owed = self._owed_seconds + self._owed_per_second * seconds
        self._owed_seconds = min(max(owed, -_MOST_OWED_SECONDS), _MOST_OWED_SECONDS)
