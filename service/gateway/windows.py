"""Counts over a sliding minute: in this process, or in Redis for all of them.

A minute that slides is estimated from two that do not: the count of the current one, and of the
last one as much as the minute that ends now still has of it. So a client has two numbers, however
much it asks for.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from model.errors import PolyheadError

__all__ = ["MemoryWindows", "MinuteWindows", "RedisWindows"]

_MINUTE = 60.0
_CONNECTIONS = 32
"""To Redis; who finds none free waits for one."""
_PAUSE_SECONDS = 5.0
"""Time for which a Redis that failed is not asked again."""

LOGGER = logging.getLogger("polyhead.access")


class MinuteWindows(Protocol):
    """Counts of the last minute, by name."""

    async def hit(self, name: str, limit: int, cost: int) -> float:
        """Adds `cost` to the count of a name, if it then is at most `limit`.

        Args:
            name: of a client, and of what is counted.
            limit: the most in a minute.
            cost: at most `limit`.

        Returns:
            Seconds until it may be tried again, and nothing was counted; 0 if it was counted.
        """
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...


@dataclass(slots=True)
class _Window:
    minute: int
    before: int
    """Count of the minute before."""
    now: int


class MemoryWindows:
    """Counts in this process.

    Args:
        share: of each limit that this process grants: one of several gateways grants its part.
        most: names that are kept; of more, the one is forgotten that was asked for least lately.
        clock: seconds.
    """

    def __init__(
        self, *, share: float = 1.0, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._share = share
        self._most = most
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    async def hit(self, name: str, limit: int, cost: int) -> float:
        """See `MinuteWindows`. What is larger than this process's share takes all of it."""
        limit = math.ceil(limit * self._share)
        minute, passed = divmod(self._clock(), _MINUTE)
        window = self._window(name, int(minute))
        left = limit - min(cost, limit) - window.now
        if window.before * (1 - passed / _MINUTE) <= left:
            window.now += cost
            return 0.0
        if left >= 0:  # when less of the last minute counts
            return max(0.001, _MINUTE * (1 - left / window.before) - passed)
        # When this minute is the last one, and less of it counts.
        rest = _MINUTE * (1 - (limit - min(cost, limit)) / window.now)
        return _MINUTE - passed + max(0.0, rest)

    async def close(self) -> None:
        """There is nothing to end."""

    def _window(self, name: str, minute: int) -> _Window:
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = _Window(minute, 0, 0)
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
            return window
        self._windows.move_to_end(name)
        if window.minute != minute:
            window.before = window.now if window.minute == minute - 1 else 0
            window.minute, window.now = minute, 0
        return window


class RedisWindows:
    """Counts in Redis, by the library limits; in memory while Redis does not answer.

    Args:
        url: redis://HOST:PORT/NUMBER.
        timeout_seconds: for an answer.
        memory: counts meanwhile.

    Raises:
        PolyheadError: what it needs is not installed, or the URL is wrong.
    """

    def __init__(self, url: str, *, timeout_seconds: float, memory: MinuteWindows) -> None:
        try:
            from limits import RateLimitItemPerMinute
            from limits.aio.strategies import SlidingWindowCounterRateLimiter
            from limits.errors import ConfigurationError
            from limits.storage import storage_from_string
            from redis.asyncio import BlockingConnectionPool
        except ImportError:
            raise PolyheadError(_NOT_INSTALLED) from None
        try:
            self._pool: Any = BlockingConnectionPool.from_url(
                url, max_connections=_CONNECTIONS, timeout=timeout_seconds
            )
            storage: Any = storage_from_string(
                f"async+{url}",
                implementation="redispy",
                key_prefix="polyhead",
                connection_pool=self._pool,  # type: ignore[arg-type]  # as its guide has it
            )
        except (ConfigurationError, ValueError):  # the URL may have a password
            raise PolyheadError("`access.limiter_url` must be as redis://host:6379/0") from None
        self._limiter: Any = SlidingWindowCounterRateLimiter(storage)
        self._item = RateLimitItemPerMinute
        self._timeout_seconds = timeout_seconds
        self._memory = memory
        self._failed_at = -math.inf

    async def hit(self, name: str, limit: int, cost: int) -> float:
        """See `MinuteWindows`."""
        if time.monotonic() < self._failed_at + _PAUSE_SECONDS:
            return await self._memory.hit(name, limit, cost)
        item = self._item(limit)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if await self._limiter.hit(item, name, cost=cost):
                    return 0.0
                stats = await self._limiter.get_window_stats(item, name)
        except Exception as error:  # of Redis' client, of many kinds
            self._failed_at = time.monotonic()
            LOGGER.warning(
                "Redis does not count requests, so each gateway does: %s", type(error).__name__
            )
            return await self._memory.hit(name, limit, cost)
        return min(_MINUTE, max(1.0, float(stats.reset_time) - time.time()))

    async def close(self) -> None:
        """Ends the connections."""
        await self._pool.disconnect()


_NOT_INSTALLED = (
    "`access.limiter_url` needs packages that are not installed: pip install polyhead[redis]"
)
