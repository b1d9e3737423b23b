"""A gateway's eye on the catalog: what others have changed, taken over within a second."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from service.catalog.changes import CatalogChanges
from service.hosting.controller import ChangesStore

__all__ = ["CatalogWatch"]

LOOK_SECONDS = 1.0
"""Between two looks at the store."""
_BUSY_LOOK_SECONDS = 0.25
"""The same while a change is in work."""
_TAKE_SECONDS = 60.0
"""Time for the event loop to take changes over."""

LOGGER = logging.getLogger("polyhead.catalog")


class CatalogWatch:
    """Looks at the store on a thread of its own; a store that is away changes nothing.

    Args:
        store: where the changes are.
        changes: what the gateway began with.
        take: takes changes over, on the event loop.
        report: tells who makes the changes which version is in use here. On the thread.
    """

    def __init__(
        self,
        store: ChangesStore,
        changes: CatalogChanges,
        *,
        take: Callable[[CatalogChanges], Coroutine[Any, Any, None]],
        report: Callable[[int], None],
    ) -> None:
        self._store = store
        self._changes = changes
        self._take = take
        self._report = report
        self._closing = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the thread, which hands changes to `loop`."""
        threading.Thread(target=self._run, args=(loop,), name="catalog", daemon=True).start()

    def close(self) -> None:
        """Ends the thread, some time later. Idempotent."""
        self._closing.set()

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes over what has changed, and reports while a change is in work."""
        if self._store.version() != self._changes.version:
            changes = self._store.read()
            asyncio.run_coroutine_threadsafe(self._take(changes), loop).result(_TAKE_SECONDS)
            self._changes = changes
        if self._changes.in_work:
            self._report(self._changes.version)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                self.look(loop)
            except Exception as error:  # Ray's, of many kinds; the thread must go on
                LOGGER.warning("the catalog cannot be read: %s", type(error).__name__)
            if self._closing.wait(_BUSY_LOOK_SECONDS if self._changes.in_work else LOOK_SECONDS):
                return
