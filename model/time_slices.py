"""Long work on an event loop, some milliseconds at a time, in turns with that of other tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from weakref import WeakValueDictionary

__all__ = ["TimeSlices", "values"]

_SLICE_SECONDS = 0.002
"""For how long steps are taken before the event loop does other things."""

_AT_ONCE = 500
"""Characters of work that is done in about a slice."""

_T = TypeVar("_T")


class TimeSlices:
    """Who may go on for a slice, on each event loop."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakValueDictionary()
        )
        """Kept alive by those who wait for it."""

    async def values(self, steps: Iterator[_T | None]) -> list[_T]:
        """`values` in slices; all but the first one take turns with those of other tasks."""
        found: list[_T] = []
        if _advance(steps, found):
            return found
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        while True:
            async with turn:
                await asyncio.sleep(0)  # what else the event loop has to do goes first
                if _advance(steps, found):
                    return found

    async def aside(self, work: Callable[[], _T], size: int) -> _T:
        """Does work of so many characters; much of it in another thread, in turns with others."""
        if size <= _AT_ONCE:
            return work()
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with turn:
            return await asyncio.to_thread(work)


def values(steps: Iterator[_T | None]) -> list[_T]:
    """All values of what says None after a step without one."""
    return [value for value in steps if value is not None]


def _advance(steps: Iterator[_T | None], values: list[_T]) -> bool:
    """Adds to `values` what comes within a slice of time; whether that was all."""
    end = time.monotonic() + _SLICE_SECONDS
    for value in steps:
        if value is not None:
            values.append(value)
        if time.monotonic() >= end:
            return False
    return True
