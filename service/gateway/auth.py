"""API keys as a gateway knows them: all that are valid, in memory, as of some seconds ago."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import Scope

from service.errors import InvalidKeyError, StoreUnavailableError
from service.gateway.request_context import header
from service.store.records import ApiKey
from service.store.store import Store

__all__ = ["KeyRing", "key_in_headers"]

_SCHEMES = ("bearer", "deepl-auth-key")

LOGGER = logging.getLogger("polyhead.access")


class KeyRing:
    """The valid keys. Belongs to one event loop. No request waits for the store.

    Args:
        store: where they are read, again and again.
        refresh_seconds: between two readings.
        stale_seconds: time for which they are taken where the store cannot be read.
    """

    def __init__(self, store: Store, *, refresh_seconds: float, stale_seconds: float) -> None:
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._keys: Mapping[str, ApiKey] = {}
        self._read_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the keys."""
        return frozenset(self._keys)

    def find(self, given: str) -> ApiKey:
        """The key that a client has sent.

        Raises:
            InvalidKeyError: there is no such one, or not any more.
            StoreUnavailableError: it is too long since the keys could be read.
        """
        from service.store.api_keys import find_key

        if self._read_at is None or time.monotonic() > self._read_at + self._stale_seconds:
            raise StoreUnavailableError("the keys are not known")
        key = find_key(self._keys, given)
        if key is None or not key.is_valid(time.time()):
            raise InvalidKeyError("the API key must be one of this service, but is not")
        return key

    async def refresh(self) -> None:
        """Reads the keys.

        Raises:
            StoreUnavailableError: it cannot be done now.
        """
        began = time.monotonic()
        self._keys = await self._store.keys.valid()
        self._read_at = began

    def start(self) -> None:
        """Begins to read them again and again. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._refresh_forever())

    async def close(self) -> None:
        """Ends that."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self.refresh()
            except StoreUnavailableError:
                continue  # it is in the log
            except Exception:
                LOGGER.exception("the keys could not be read")


def key_in_headers(scope: Scope) -> str | None:
    """What `Authorization: Bearer ...` or `DeepL-Auth-Key ...` says; None if there is neither."""
    scheme, _, given = (header(scope, b"authorization") or "").partition(" ")
    return given.strip() or None if scheme.lower() in _SCHEMES else None
