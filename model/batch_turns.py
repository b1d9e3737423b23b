"""Turns of batch calls: each is begun when the engine needs more of them, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from model.errors import DeadlineExceededError, QueueFullError

__all__ = ["BatchTurns"]

_LOOK_SECONDS = 0.02


class BatchTurns:
    """Holds calls before anything is done for them. Safe to use from several event loops.

    Args:
        most: calls that may wait.
        are_due: whether the next one may begin.
    """

    def __init__(self, most: int, are_due: Callable[[], bool]) -> None:
        self._most = most
        self._are_due = are_due
        self._num_waiting = 0
        self._first: WeakValueDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakValueDictionary()
        )
        """Who is next on each event loop; kept alive by those who wait for it."""

    @asynccontextmanager
    async def turn(self, deadline: float | None) -> AsyncIterator[None]:
        """Waits for the call's turn, which ends with the `with`.

        Args:
            deadline: `time.monotonic()` seconds.

        Raises:
            QueueFullError: as many wait as may.
            DeadlineExceededError: the deadline passed before the turn came.
        """
        if self._num_waiting >= self._most:
            raise QueueFullError(
                f"at most {self._most} batch calls may wait, and {self._num_waiting} do"
            )
        async with AsyncExitStack() as turn:
            self._num_waiting += 1
            try:
                async with asyncio.timeout(_seconds_left(deadline)):
                    await self._wait(turn)
            except TimeoutError:
                raise DeadlineExceededError("the deadline passed before a turn came") from None
            finally:
                self._num_waiting -= 1
            yield

    async def _wait(self, turn: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        await turn.enter_async_context(self._first.setdefault(loop, asyncio.Lock()))
        while not self._are_due():
            await asyncio.sleep(_LOOK_SECONDS)


def _seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()
