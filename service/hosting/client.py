"""A gateway's way to the actor that changes the catalog."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError, RayTaskError

from model.errors import DeadlineExceededError, PolyheadError
from service.catalog.changes import CatalogBase, CatalogChanges, ChangeKind, ModelStatus
from service.detached_actors import find_actor, find_or_create_actor
from service.errors import ModelUnavailableError
from service.hosting.actor import CatalogActor
from service.hosting.store import CatalogStore
from service.settings import ModelRecord

__all__ = ["CatalogClient"]

_CALL_SECONDS = 10.0
_ACTOR_NAME = "polyhead-catalog-"
_ADOPTIONS = 5
"""Attempts to have the models of the settings served."""
_RETRY_SECONDS = 0.5
_MEMORY = "polyhead_model_memory_bytes"

LOGGER = logging.getLogger("polyhead.catalog")


class CatalogClient:
    """See `service.gateway.api.models.ModelChanges`.

    Args:
        application: name of the gateways' application.
        gateway: name of their deployment.
        base: what this service was deployed with.
        store: where the changes are kept.
        metrics: the metrics of all processes, which know what is loaded where.
    """

    def __init__(
        self,
        application: str,
        gateway: str,
        base: CatalogBase,
        store: CatalogStore,
        metrics: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._name = _ACTOR_NAME + application
        self._arguments = (application, gateway, base.settings.log_level)
        self._base = base
        self._store = store
        self._metrics = metrics
        self._reading = asyncio.Lock()
        self._read = CatalogChanges()

    def begin(self) -> CatalogChanges:
        """The catalog to begin with. Has that of this service take the place of the one before.

        Where there is one before, this gateway serves it until then, as others do; else it blocks
        until the models that have replicas of their own run.

        Raises:
            PolyheadError: there is none before, and a model cannot be used.
        """
        changes, _ = self._store.read_or_begin()
        if changes.base is None or changes.base.serve != self._base.serve:
            return self._adopt()
        if changes.base != self._base:
            threading.Thread(target=self._adopt_later, name="adoption", daemon=True).start()
        return changes

    def _adopt_later(self) -> None:
        try:
            self._adopt()
        except Exception as error:  # Ray's, of many kinds
            LOGGER.error("the new settings: the models stay what they are: %s", error)

    def _adopt(self) -> CatalogChanges:
        """The catalog, once it is that with which this service was deployed.

        Raises:
            PolyheadError: one of its models cannot be used, or the actor cannot be reached; the
                catalog is as it was before.
        """
        settings = self._base.settings
        # A change that is in work, and then this one.
        seconds = 2 * (settings.start_timeout_seconds + settings.load_timeout_seconds) + 300
        for _ in range(_ADOPTIONS):
            changes, problem = self._store.read_or_begin()
            if problem is not None:
                LOGGER.error("the catalog: %s", problem)
            if changes.base == self._base:
                return changes
            try:
                self._actor().adopt.remote(self._base).future().result(seconds)
            except RayTaskError as error:
                if isinstance(error.cause, PolyheadError):
                    raise error.cause from None
                raise
            except (RayError, ValueError, TimeoutError, concurrent.futures.CancelledError):
                time.sleep(_RETRY_SECONDS)
        raise ModelUnavailableError("the models cannot be changed now; try again later")

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change; raises what `CatalogActor.submit` does."""
        await asyncio.to_thread(self._submit, kind, name, record)

    async def status(self, name: str) -> ModelStatus | None:
        """How the last change of a model goes, or why it failed."""
        # One after the other, and what is large only when it has changed: whoever asks, the GCS is
        # not flooded.
        try:
            async with asyncio.timeout(_CALL_SECONDS), self._reading:
                if await asyncio.to_thread(self._store.version) != self._read.version:
                    self._read, _ = await asyncio.to_thread(self._store.read_or_begin)
        except (TimeoutError, RayError) as error:
            raise ModelUnavailableError(
                "the catalog cannot be read now; try again later"
            ) from error
        return self._read.statuses.get(name)

    async def loaded(self, name: str) -> Mapping[str, int]:
        """The replicas that have a model in memory, and its bytes there."""
        family = (await self._metrics()).get(_MEMORY)
        loaded = {}
        for (_, labels), size in family.samples.items() if family is not None else ():
            of = dict(labels)
            if of.get("model_name") == name and size > 0:
                loaded[of.get("replica", "")] = int(size)
        return loaded

    def report(self, gateway: str, version: int, held: frozenset[str]) -> None:
        """Tells the actor what this gateway uses, if there is one; waits for no answer."""
        with suppress(ValueError, RayError):  # ValueError where there is none
            find_actor(self._name).report.remote(gateway, version, held)

    def _submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        for last in (False, True):
            try:
                answer = self._actor().submit.remote(kind, name, record)
                answer.future().result(_CALL_SECONDS)
                return
            except RayTaskError as error:
                if isinstance(error.cause, PolyheadError):
                    raise error.cause from None
                raise
            except (RayError, ValueError) as error:  # ValueError: while another one makes the actor
                if last:  # once, it may have been about to end itself
                    message = "the models cannot be changed now; try again later"
                    raise ModelUnavailableError(message) from error
            except (TimeoutError, concurrent.futures.CancelledError):
                raise DeadlineExceededError from None

    def _actor(self) -> Any:
        return find_or_create_actor(CatalogActor, self._name, *self._arguments)
