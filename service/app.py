"""The application that Ray Serve runs: gateways, and the replicas that models share.

Models with replicas of their own are applications of their own, which the catalog's actor deploys
for the gateways. `serve run service.app:build models=path/to/model` and
deploy/serve.yaml both come here.
"""

# Serve inspects the annotation of `build`: it must be the class, not a string.

import asyncio
import gc
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from model.errors import InvalidRequestError
from service.catalog.changes import CatalogChanges
from service.catalog.directories import catalog_of
from service.catalog.entry import CatalogEntry
from service.gateway.admission import Admission
from service.gateway.application import build_gateway
from service.gateway.upgrades import ignore_upgrades
from service.hosting.client import CatalogClient
from service.hosting.deployments import common_options, pool_deployment
from service.hosting.store import CatalogStore, base_of
from service.hosting.watch import CatalogWatch
from service.observability.hub import HubClient
from service.observability.live import LiveLook
from service.observability.logs import configure_logging
from service.observability.metrics import GatewayMetrics
from service.observability.snapshot import render, take_snapshot
from service.routing.router import RoutedModel, Router
from service.routing.serve_backend import ServeBackend
from service.settings import Settings

__all__ = ["GATEWAY", "Gateway", "build", "gateways"]

GATEWAY = "Gateway"
"""Name of the gateways' deployment."""

_COLLECT_AFTER_OBJECTS = 10_000
"""Threshold of Python's garbage collector, instead of 700. The requests in flight hold more objects
than that, and would be scanned again and again."""
_RELEASE_LOOK_SECONDS = 0.5


@serve.ingress()
class Gateway:
    """A gateway replica, which builds its FastAPI application itself.

    Args:
        settings: as everywhere.
        base: the models of the settings; what was changed since comes from Ray's store.
        pool: the deployment of the models that share replicas.

    Raises:
        PolyheadError: a model of the settings cannot be used, and there are none from before.
    """

    def __init__(
        self,
        settings: Settings,
        base: tuple[CatalogEntry, ...],
        pool: DeploymentHandle[Any],
    ) -> None:
        # Not sys.stderr, which Serve may have wrapped.
        configure_logging(settings.log_level, sys.__stderr__)
        gc.set_threshold(_COLLECT_AFTER_OBJECTS)
        self._settings = settings
        self._base = base
        self._pool = pool
        self._metrics = GatewayMetrics(
            max_pairs=settings.max_pairs_in_metrics, max_models=settings.max_models
        )
        self._admission = Admission(settings.limits, max_uploads=settings.documents.max_uploads)
        self._hub = HubClient.of_this_replica(
            lambda: take_snapshot(self._metrics.registry), keeps_backup=True
        )
        context = serve.get_replica_context()
        store = CatalogStore(context.app_name)
        self._client = CatalogClient(
            context.app_name,
            GATEWAY,
            base_of(settings, base),
            store,
            self._merged_metrics,
        )
        changes = self._client.begin()
        self._application = context.app_name
        self._backends: dict[str, ServeBackend] = {}
        """By application."""
        self._closing: set[asyncio.Task[None]] = set()
        self._router = Router(
            self._routed(changes),
            pivot=settings.pivot or None,
            info_timeout_seconds=settings.info_timeout_seconds,
        )
        self._metrics.set_models(self._router.placements)
        self._watch = CatalogWatch(
            store,
            changes,
            take=self._take,
            report=lambda version: self._client.report(
                context.replica_tag, version, self._router.held_keys
            ),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application; Serve calls this on the event loop that will run it."""
        self._hub.start()
        self._watch.start(asyncio.get_running_loop())
        ignore_upgrades()
        return build_gateway(
            self._settings,
            self._router,
            self._metrics,
            self._render_metrics,
            self._client,
            admission=self._admission,
            look=self._look,
            echo_request_id=False,  # Serve's proxy repeats the header itself
        )

    async def drain(self) -> None:
        """Refuses requests from now on; returns when all admitted ones are answered."""
        await self._admission.drain()

    def _routed(self, changes: CatalogChanges) -> list[RoutedModel]:
        """The models that there are with these changes, each with its backend."""
        return [
            RoutedModel.of(
                entry,
                self._backend(entry),
                can_sleep=entry.can_sleep or (entry.shared and _pool_can_sleep(self._base)),
            )
            for entry in changes.applied_to(self._base)
        ]

    def _backend(self, entry: CatalogEntry) -> ServeBackend:
        place = entry.application(self._application)
        if place not in self._backends:
            handle = self._pool
            if not entry.shared:
                handle = serve.get_deployment_handle(entry.deployment, place, _check_exists=False)
            self._backends[place] = ServeBackend(_with_pickle(handle), shared=entry.shared)
        return self._backends[place]

    async def _take(self, changes: CatalogChanges) -> None:
        """Takes over changes of the catalog, for all requests from now on."""
        before = {model.backend: model.hosted.key for model in self._router.models}
        self._router.update(self._routed(changes))
        used = {model.backend for model in self._router.models}
        self._metrics.set_models(self._router.placements)
        for place, backend in list(self._backends.items()):
            if backend not in used and place != self._application:
                del self._backends[place]
                task = asyncio.create_task(self._close(backend, before.get(backend, "")))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _close(self, backend: ServeBackend, key: str) -> None:
        """Closes a backend once no request can call it any more."""
        while key in self._router.held_keys:
            await asyncio.sleep(_RELEASE_LOOK_SECONDS)
        await backend.close()

    async def _merged_metrics(self) -> Mapping[str, Any]:
        timeout = self._settings.metrics_timeout_seconds
        models = frozenset(self._router.placements)
        return await asyncio.to_thread(self._hub.merged, models, timeout=timeout)

    async def _look(self, after: int | None) -> LiveLook:
        timeout = self._settings.metrics_timeout_seconds
        models = frozenset(self._router.placements)
        return await asyncio.to_thread(self._hub.look, models, after, timeout=timeout)

    async def _render_metrics(self) -> bytes:
        return render(await self._merged_metrics())

    def __del__(self) -> None:
        # Serve calls this when the replica has drained, also after a failed __init__.
        if hasattr(self, "_watch"):
            self._watch.close()
            self._hub.close()


def build(settings: Settings) -> Application:
    """The Serve application for `settings`; models with replicas of their own have others.

    Raises:
        CheckpointError, InvalidRequestError: the models cannot be used; see `catalog_of`.
    """
    if settings.single_process:
        raise InvalidRequestError("`single_process` must be false with Ray Serve, but is true")
    return gateways(settings, catalog_of(settings))


def gateways(
    settings: Settings, base: tuple[CatalogEntry, ...], pool: Application | None = None
) -> Application:
    """The gateways' deployment, bound to that of the models which share replicas.

    Args:
        settings: as everywhere.
        base: the catalog.
        pool: in place of the usual one.
    """
    placement: dict[str, Any] = {}
    if settings.gateways_per_node is not None:
        placement = {"max_replicas_per_node": settings.gateways_per_node}
    gateway = serve.deployment(
        name=GATEWAY,
        num_replicas=settings.gateway_replicas,
        ray_actor_options={"num_cpus": settings.num_cpus_per_gateway},
        # Above the gateway's own limit, whose errors say more; else requests, those for /health and
        # /metrics among them, would wait in Serve's queue.
        max_ongoing_requests=2 * settings.limits.max_in_flight,
        max_queued_requests=settings.limits.max_in_flight,
        **placement,
        **common_options(settings),
    )(Gateway)
    if pool is None:
        pool = pool_deployment(settings, can_sleep=_pool_can_sleep(base))
    return gateway.bind(settings, base, pool)


def _pool_can_sleep(base: tuple[CatalogEntry, ...]) -> bool:
    """Whether no model of the settings needs the shared replicas."""
    return not any(entry.shared for entry in base)


def _with_pickle(handle: DeploymentHandle[Any]) -> DeploymentHandle[Any]:
    """The handle with pickle: Serve's default, cloudpickle, takes 4 to 5 times as long here."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")
