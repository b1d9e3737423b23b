"""How many steps a device has queued: enough for it to work while the host plans, and no more.

What is queued keeps a device busy while the host makes the next plan, reads results, or has lent
the interpreter to another thread. But a sequence that ends keeps its slot through all steps that
were queued by then, so each of them costs a few hundredths of the tokens per second. How long the
host takes, and how long a step, is not known before: the depth follows what was seen.
"""

from __future__ import annotations

__all__ = ["QueueDepth"]

_FIRST, _LEAST, _MOST = 3, 2, 8
_WINDOW_STEPS = 128
_TOO_IDLE = 0.01
"""Share of a window in which the device had nothing to do, above which it is given a step more."""
_HARDLY_IDLE = 0.001
_QUIET_WINDOWS = 2
"""After so many windows in a row with hardly any idleness it is given a step less, to see whether
it needs it. After one, the depth falls too often: pauses of the host are rare and long."""
_MARK_SECONDS = 5e-6
"""At most between two marks of a device that is busy. Seen as idleness, it would be more than is
hardly any, and the depth would never fall."""


class QueueDepth:
    """The depth of one device's queue: 2 to 8 steps."""

    def __init__(self) -> None:
        self.steps = _FIRST
        """Steps to have queued before the oldest one is waited for."""
        self._quiet_windows = 0
        self._begin_window()

    def note(self, *, idle_seconds: float, busy_seconds: float) -> None:
        """Takes note of a step that has been done.

        Args:
            idle_seconds: between the mark behind the step before it and its own first one.
            busy_seconds: that it took, with what was encoded before it.
        """
        idle_seconds = max(0.0, idle_seconds - _MARK_SECONDS)
        self._idle_seconds += idle_seconds
        self._seconds += idle_seconds + busy_seconds
        self._num_steps += 1
        if self._num_steps == _WINDOW_STEPS:
            self._end_window()

    def _end_window(self) -> None:
        is_quiet = self._idle_seconds <= _HARDLY_IDLE * self._seconds
        self._quiet_windows = self._quiet_windows + 1 if is_quiet else 0
        if self._idle_seconds > _TOO_IDLE * self._seconds:
            self.steps = min(_MOST, self.steps + 1)
        elif self._quiet_windows == _QUIET_WINDOWS:
            self.steps = max(_LEAST, self.steps - 1)
            self._quiet_windows = 0
        self._begin_window()

    def _begin_window(self) -> None:
        self._num_steps = 0
        self._seconds = self._idle_seconds = 0.0
