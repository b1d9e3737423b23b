"""What clients use in a month: added up in memory, written to the store in the background."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

from service.errors import StoreUnavailableError
from service.store.records import Count
from service.store.store import Store

__all__ = ["UsageLedger"]

_LAST_FLUSHES = 3
"""Attempts to write the last of it when the gateway ends."""
_LAST_SECONDS = 2.0
"""Time for them, which is less than the gateway has to end."""
_ADDRESS = "@"
"""Begins the subjects that are addresses, and no keys."""

LOGGER = logging.getLogger("polyhead.access")

_NOTHING = Count()
_Counts = dict[tuple[str, str], Count]


class UsageLedger:
    """Belongs to one event loop. A request never waits for it.

    Args:
        store: where it is written, and what other gateways wrote is read.
        flush_seconds: between two writes.
        max_addresses: addresses of which it is known at a time what they used.
    """

    def __init__(self, store: Store, *, flush_seconds: float, max_addresses: int) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._max_addresses = max_addresses
        self._month = ""
        self._known: dict[str, int] = {}
        """Characters of this month in the store, by subject."""
        self._wanted: set[str] = set()
        """Subjects of which that has yet to be read."""
        self._reserved: Counter[str] = Counter()
        """Characters, by subject, that others are about to write to the store."""
        self._pending: _Counts = {}
        self._writing: tuple[str, _Counts] | None = None
        """The name of a batch and what is in it: until it is known to be in the store."""
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def characters(self, subject: str) -> int:
        """What a subject has used in this month, as far as it is known here."""
        month = self._this_month()
        if subject not in self._known:
            self._wanted.add(subject)
        key = (subject, month)
        written = self._writing[1].get(key, _NOTHING) if self._writing else _NOTHING
        return (
            self._known.get(subject, 0)
            + self._reserved[subject]
            + written.characters
            + self._pending.get(key, _NOTHING).characters
        )

    def look_again(self, subject: str) -> None:
        """Has it read soon what a subject has used: less than is known here, where a document has
        failed, or more, where other gateways count."""
        if subject in self._known:
            self._wanted.add(subject)

    def add(
        self, subject: str, characters: int, *, requests: int = 1, month: str | None = None
    ) -> str | None:
        """Counts what a subject uses; negative numbers take it back.

        Args:
            subject: a key's id, or "@" and an address.
            characters, requests: what it uses.
            month: for which it counts; this one by default.

        Returns:
            The month; None where nothing was counted, since there are too many addresses.
        """
        month = month or self._this_month()
        key = (subject, month)
        count = self._pending.get(key)
        if count is None:
            if subject.startswith(_ADDRESS) and len(self._pending) >= self._max_addresses:
                return None
            count = _NOTHING
        self._pending[key] = Count(count.requests + requests, count.characters + characters)
        return month

    @asynccontextmanager
    async def reserved(self, subject: str, characters: int) -> AsyncIterator[None]:
        """Counts what a subject uses here, while the block writes it to the store by itself."""
        self._reserved[subject] += characters
        try:
            yield
        finally:
            # Until it is known what the store has now, or it cannot be: then it is read later.
            self._wanted.add(subject)
            try:
                with suppress(StoreUnavailableError):
                    await self.flush()
            finally:
                self._reserved[subject] -= characters
                if not self._reserved[subject]:
                    del self._reserved[subject]

    def start(self) -> None:
        """Begins to write. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._flush_forever())

    async def read(self, subjects: Collection[str]) -> None:
        """Reads what subjects have used, from the store."""
        month = self._this_month()
        counts = await self._store.usage.of_month(month, subjects)
        if month == self._month:
            self._known |= {name: counts.get(name, Count()).characters for name in subjects}

    async def flush(self) -> None:
        """Writes what has not been written, and reads what others wrote of the same subjects.

        Raises:
            StoreUnavailableError: it cannot be done now; nothing is lost, and nothing will be
                counted twice.
        """
        async with self._lock:
            if self._writing is None and self._pending:
                self._writing, self._pending = (uuid.uuid4().hex, self._pending), {}
            # Who wants a subject from now on wants what is read after this.
            subjects, self._wanted = self._wanted, set()
            try:
                if self._writing is not None:
                    await self._store.usage.add(*self._writing)
                    subjects |= {subject for subject, _ in self._writing[1]}
                if subjects:
                    await self.read(subjects)
            except BaseException:
                self._wanted |= subjects
                raise
            # At once with what was read: what was written counts once.
            self._writing = None
            self._forget_addresses()

    async def close(self) -> None:
        """Ends, once all is written, or it cannot be."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                for _ in range(_LAST_FLUSHES):
                    with suppress(StoreUnavailableError):
                        await self.flush()
                    if not (self._pending or self._writing):
                        return
        LOGGER.error("what was used last could not be written to the store")

    async def _flush_forever(self) -> None:
        month = self._this_month()
        while True:
            await asyncio.sleep(self._flush_seconds)
            try:
                if self._pending or self._writing or self._wanted:
                    await self.flush()
                if month != (now := self._this_month()):
                    await self._store.usage.forget(_ADDRESS, before=now)
                    month = now
            except StoreUnavailableError:
                continue  # it is in the log
            except Exception:
                LOGGER.exception("what was used could not be written")

    def _this_month(self) -> str:
        month = _month_of(int(time.time()))
        if month != self._month:
            self._month, self._known = month, {}
        return month

    def _forget_addresses(self) -> None:
        addresses = [subject for subject in self._known if subject.startswith(_ADDRESS)]
        for subject in addresses[: max(0, len(addresses) - self._max_addresses)]:
            del self._known[subject]


@lru_cache(maxsize=1)
def _month_of(second: int) -> str:
    return time.strftime("%Y-%m", time.gmtime(second))
