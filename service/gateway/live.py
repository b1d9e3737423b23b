"""Looks at the service once a second for all who watch it at this gateway, and for nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from model.errors import PolyheadError
from service.errors import TooManyWatchersError
from service.observability.live import LiveLook, LiveRates, LiveReports

__all__ = ["LiveBroadcast", "Look", "Watcher"]

Look = Callable[[int | None], Awaitable[LiveLook]]
"""What there is to see now; takes the number of the look before, if there was one."""

_REPORTS_KEPT = 4
"""For a watcher that does not read; of more, the oldest are dropped."""

LOGGER = logging.getLogger("polyhead.live")


class Watcher:
    """Who watches, and what it has not been sent yet."""

    def __init__(self) -> None:
        self._reports: deque[bytes] = deque(maxlen=_REPORTS_KEPT)
        self._changed = asyncio.Event()
        self._ended = False

    def tell(self, report: bytes) -> None:
        """Adds a report; of one who is slow, the oldest is dropped."""
        self._reports.append(report)
        self._changed.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._changed.set()

    async def next(self) -> bytes | None:
        """The next report; None behind the last one."""
        while not self._reports:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._reports.popleft()


class LiveBroadcast:
    """Those who watch the service at this gateway. Belongs to one event loop.

    Args:
        look: at the service.
        written: makes a report of a look, once for all; its number counts from 1.
        most: watchers at a time.
        is_draining: whether the gateway is about to end, and with it all reports.
        interval_seconds: between two looks.
    """

    def __init__(
        self,
        look: Look,
        written: Callable[[int, LiveRates, LiveLook], bytes],
        *,
        most: int,
        is_draining: Callable[[], bool] = lambda: False,
        interval_seconds: float = 1.0,
    ) -> None:
        self._look = look
        self._written = written
        self._most = most
        self._is_draining = is_draining
        self._interval = interval_seconds
        self._watchers: set[Watcher] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """One more who watches, until the end of the `with`.

        Raises:
            TooManyWatchersError: as many watch as may.
        """
        if len(self._watchers) >= self._most:
            raise TooManyWatchersError(
                f"at most {self._most} may watch at a time here, and as many do; try again later"
            )
        watcher = Watcher()
        self._watchers.add(watcher)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._tell_all())
        try:
            yield watcher
        finally:
            # A look that is under way is not cancelled when the last one leaves: its thread would
            # go on, and those who come and go would fill all threads.
            self._watchers.discard(watcher)

    async def _tell_all(self) -> None:
        try:
            await self._look_on()
        finally:
            for watcher in self._watchers:
                watcher.end()

    async def _look_on(self) -> None:
        clock = asyncio.get_running_loop().time
        reports, number, after = LiveReports(), 0, None
        while self._watchers and not self._is_draining():
            due = clock() + self._interval
            try:
                look = await self._look(after)
            except PolyheadError as error:  # the next one may do better
                LOGGER.warning("the service cannot be looked at: %s", error)
            else:
                after, number = look.number, number + 1
                report = self._written(number, reports.rates(look), look)
                for watcher in self._watchers:
                    watcher.tell(report)
            await asyncio.sleep(max(0.0, due - clock()))
