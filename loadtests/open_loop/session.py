"""A load test's event loop: one piece of work, until it is over or a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import signal
from enum import StrEnum

__all__ = ["Ending", "stoppable"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending(StrEnum):
    """Why there was no more load."""

    COMPLETE = "complete"
    SATURATED = "saturated"
    """The knee was found, and higher steps were left out."""
    INTERRUPTED = "interrupted"


def stoppable(work: asyncio.Task[None]) -> None:
    """Has signals cancel the work, for as long as the event loop runs.

    Python's collector of garbage is told to look less often through the many requests that are
    kept: it would hold up those that are due.
    """
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    gc.freeze()
    gc.set_threshold(100_000)
