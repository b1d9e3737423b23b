"""The whole service in one process, without Ray: a gateway, and a replica that all models share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.types import ASGIApp

from service.catalog.changes import CatalogBase, CatalogChanges, ChangeKind, ModelStatus
from service.catalog.entry import POOL, CatalogEntry
from service.gateway.admission import Admission
from service.gateway.application import build_gateway
from service.gateway.front import FrontMiddleware
from service.hosting.controller import CatalogController
from service.hosting.replica import TranslatorReplica
from service.hosting.replica_options import shared_replica_options
from service.hosting.watch import CatalogWatch
from service.observability.live import BatchRecords, LiveFigures, LiveLook, live_figures
from service.observability.metrics import NO_MODEL, GatewayMetrics
from service.observability.snapshot import (
    labelled_gauges,
    merge,
    of_models,
    render,
    take_snapshot,
)
from service.protocol import TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_stream import CallStream
from service.routing.router import RoutedModel, Router
from service.settings import ModelRecord, Settings

__all__ = ["InProcessBackend", "SingleProcess"]

_NAME = "polyhead"
_GATEWAY = "Gateway"
_SNAPSHOT_SECONDS = 5.0
"""Between two looks at the engines, which keep only so much of what they have done."""


class InProcessBackend:
    """The replica of this process, as a backend."""

    def __init__(self, replica: TranslatorReplica) -> None:
        self._replica = replica

    @property
    def num_replicas(self) -> int:
        """One, always."""
        return 1

    async def check(self) -> None:
        """Raises what the replica's health check does."""
        await self._replica.check_health()

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        """The replica's reply; see `service.routing.router.Backend`."""
        return await self._replica.translate(call)

    async def stream(self, call: TranslateCall, attempt: Attempt | None = None) -> CallStream:
        """The events of the replica; see `service.routing.router.Backend`."""
        return await CallStream.begun(self._replica.stream(call))


class SingleProcess:
    """A gateway and a replica on the running event loop; to be closed on it.

    Args:
        settings: as everywhere.
        entries: the models of the settings.

    Attributes:
        application: answers HTTP.
    """

    application: ASGIApp

    def __init__(self, settings: Settings, entries: tuple[CatalogEntry, ...]) -> None:
        self._replica = TranslatorReplica((), **shared_replica_options(settings))
        self._backend = InProcessBackend(self._replica)
        self._metrics = GatewayMetrics(
            max_pairs=settings.max_pairs_in_metrics, max_models=settings.max_models
        )
        self._admission = Admission(settings.limits, max_uploads=settings.documents.max_uploads)
        base = CatalogBase(settings=settings, entries=entries, serve="")
        changes = CatalogChanges().with_base(base, adopting=False)
        self._router = Router(
            self._routed(changes),
            pivot=settings.pivot or None,
            info_timeout_seconds=settings.info_timeout_seconds,
        )
        self._metrics.set_models(self._router.placements)
        self._store = _Store(changes)
        self._controller = CatalogController(_NAME, _Hosts(self._replica), self._store)
        self._loop = asyncio.get_running_loop()
        self._watch = CatalogWatch(self._store, changes, take=self._take, report=self._report)
        self._watch.start(self._loop)
        self._looking = asyncio.Lock()
        self._records = BatchRecords()
        self._traced = False
        self._looks = self._loop.create_task(self._look_at_engines())
        gateway = build_gateway(
            settings,
            self._router,
            self._metrics,
            self._render_metrics,
            self,
            admission=self._admission,
            look=self._look,
        )
        self.application = FrontMiddleware(gateway, settings.limits, settings.connections)

    async def drain(self) -> None:
        """Refuses requests from now on; returns when all admitted ones are answered."""
        await self._admission.drain()

    async def close(self) -> None:
        """Ends the engines; what is in work is lost."""
        self._watch.close()
        self._looks.cancel()
        self._controller.close()
        await asyncio.to_thread(self._replica.close)

    async def submit(self, kind: ChangeKind, name: str, record: ModelRecord | None) -> None:
        """Accepts a change of the models; raises what `CatalogController.submit` does."""
        await self._controller.submit(kind, name, record)

    async def status(self, name: str) -> ModelStatus | None:
        """How the last change of a model goes, or why it failed."""
        return self._store.read().statuses.get(name)

    async def loaded(self, name: str) -> Mapping[str, int]:
        """The bytes of a model in memory, if it is loaded."""
        sizes = [each.bytes for each in await self._replica.loaded() if each.id == name]
        return {POOL: sum(sizes)} if sizes else {}

    def _routed(self, changes: CatalogChanges) -> list[RoutedModel]:
        return [RoutedModel.of(entry, self._backend) for entry in changes.applied_to(())]

    async def _take(self, changes: CatalogChanges) -> None:
        """Takes over changes of the catalog, for all requests from now on."""
        self._router.update(self._routed(changes))
        self._metrics.set_models(self._router.placements)

    def _report(self, version: int) -> None:
        """Tells the controller what requests use. On the thread of the watch."""
        held = self._router.held_keys
        report = self._controller.report(_GATEWAY, version, held)
        asyncio.run_coroutine_threadsafe(report, self._loop)

    async def _look_at_engines(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            async with self._looking:
                await asyncio.to_thread(self._replica.snapshot)
                self._trace(self._records.watched)

    async def _look(self, after: int | None) -> LiveLook:
        """What there is to see now; from then on batches are watched for a while."""
        async with self._looking:
            figures = await asyncio.to_thread(self._figures)
            self._trace(True)
            self._records.add(POOL, self._replica.take_traces())
            number, batches = self._records.look(after)
        return LiveLook(at=time.monotonic(), number=number, figures=figures, batches=batches)

    def _figures(self) -> LiveFigures:
        snapshots = [take_snapshot(self._metrics.registry), self._replica.snapshot()]
        return live_figures(snapshots, frozenset(self._router.placements) | NO_MODEL)

    def _trace(self, on: bool) -> None:
        if on != self._traced:
            self._replica.trace(on)
        self._traced = on

    async def _render_metrics(self) -> bytes:
        async with self._looking:
            return await asyncio.to_thread(self._rendered)

    def _rendered(self) -> bytes:
        merged = merge(
            [
                labelled_gauges(take_snapshot(self._metrics.registry), _GATEWAY),
                labelled_gauges(self._replica.snapshot(), POOL),
            ]
        )
        return render(of_models(merged, frozenset(self._router.placements) | NO_MODEL))


class _Store:
    """The changes of the catalog in memory: they end with the process."""

    def __init__(self, changes: CatalogChanges) -> None:
        self._changes = changes

    def version(self) -> int:
        return self._changes.version

    def read(self) -> CatalogChanges:
        return self._changes

    def read_or_begin(self) -> tuple[CatalogChanges, str | None]:
        return self._changes, None

    def write(self, changes: CatalogChanges) -> None:
        self._changes = changes


class _Hosts:
    """The only replica, as a controller sees it: no model has replicas of its own."""

    def __init__(self, replica: TranslatorReplica) -> None:
        self._replica = replica

    async def names(self) -> list[str]:
        return []

    def made_of(self, settings: Settings, entry: CatalogEntry) -> tuple[object, ...]:
        return ()

    async def require_room(self, entry: CatalogEntry, settings: Settings) -> None:
        """There is room for each: others go for it."""

    async def deploy(self, settings: Settings, entries: object, seconds: float) -> dict[str, str]:
        return {}

    async def restore(self, settings: Settings, entries: object) -> None:
        """There is nothing to restore."""

    async def delete(self, name: str) -> None:
        """There is nothing to delete."""

    async def retain(self, keys: frozenset[str]) -> None:
        await self._replica.retain(keys)

    async def num_gateways(self) -> int:
        return 1
