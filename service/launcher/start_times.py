"""Where the time of a start goes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

__all__ = ["StartTimes"]


class StartTimes:
    """The phases of a start, one after the other, of which the first began with this process."""

    def __init__(self) -> None:
        age: float = max(0.0, time.time() - psutil.Process().create_time())
        self._began: float = time.monotonic() - age
        self._ended = self._began
        self._phases: list[tuple[str, float]] = []

    def end(self, phase: str) -> None:
        """Notes that a phase has ended now, and that another one begins."""
        now = time.monotonic()
        self._phases.append((phase, now - self._ended))
        self._ended = now

    @property
    def seconds(self) -> float:
        """Seconds from the start of this process to the end of the last phase."""
        return self._ended - self._began

    def lines(self) -> Iterator[str]:
        """A line for each phase, with its seconds."""
        return (f"{seconds:6.2f} s  {phase}" for phase, seconds in self._phases)
