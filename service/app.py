"""The application that Ray Serve runs: gateways, and a deployment of translators per model.

`serve run service.app:build models=path/to/model` and deploy/serve.yaml both come here.
"""

# Serve inspects the annotation of `build`: it must be the class, not a string.

import asyncio
import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from model.checkpoints.embedded import EMBEDDED, model_directory
from model.config import EngineConfig
from service.autoscaling.policy import serve_config
from service.gateway.admission import Admission
from service.gateway.application import build_gateway
from service.gateway.upgrades import ignore_upgrades
from service.observability.hub import HubClient
from service.observability.logs import configure_logging
from service.observability.metrics import GatewayMetrics
from service.observability.snapshot import render, take_snapshot
from service.replica import TranslatorReplica
from service.routing.replica_health import HealthAwareRouter
from service.routing.router import Router
from service.routing.serve_backend import ServeBackend
from service.settings import Settings

__all__ = [
    "GATEWAY",
    "Gateway",
    "build",
    "common_options",
    "engine_config",
    "gateways",
    "model_directories",
    "translator_name",
]

GATEWAY = "Gateway"
"""Name of the gateways' deployment."""

_COLLECT_AFTER_OBJECTS = 10_000
"""Threshold of Python's garbage collector, instead of 700. The requests in flight hold more objects
than that, and would be scanned again and again."""

_CONSTRUCTOR_ATTEMPTS = 3
"""Attempts to start a replica before its deployment fails."""


@serve.ingress()
class Gateway:
    """A gateway replica, which builds its FastAPI application itself."""

    def __init__(self, settings: Settings, models: dict[str, DeploymentHandle[Any]]) -> None:
        # Not sys.stderr, which Serve may have wrapped.
        configure_logging(settings.log_level, sys.__stderr__)
        gc.set_threshold(_COLLECT_AFTER_OBJECTS)
        self._settings = settings
        self._metrics = GatewayMetrics(max_pairs=settings.max_pairs_in_metrics)
        self._admission = Admission(settings.limits)
        self._hub = HubClient.of_this_replica(
            lambda: take_snapshot(self._metrics.registry), keeps_backup=True
        )
        self._router = Router(
            {name: ServeBackend(_with_pickle(handle)) for name, handle in models.items()},
            pivot=settings.pivot or None,
            info_timeout_seconds=settings.info_timeout_seconds,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application; Serve calls this on the event loop that will run it."""
        self._hub.start()
        ignore_upgrades()
        return build_gateway(
            self._settings,
            self._router,
            self._metrics,
            self._render_metrics,
            admission=self._admission,
            echo_request_id=False,  # Serve's proxy repeats the header itself
        )

    async def drain(self) -> None:
        """Refuses requests from now on; returns when all admitted ones are answered."""
        await self._admission.drain()

    async def _render_metrics(self) -> bytes:
        timeout = self._settings.metrics_timeout_seconds
        return render(await asyncio.to_thread(self._hub.merged, timeout=timeout))

    def __del__(self) -> None:
        # Serve calls this when the replica has drained, also after a failed __init__.
        if hasattr(self, "_router"):
            self._hub.close()


def build(settings: Settings) -> Application:
    """The Serve application for `settings`.

    Raises:
        ValueError: two model directories have the same name.
    """
    models: dict[str, Any] = {}
    for directory in model_directories(settings):
        if directory.name in models:
            raise ValueError(
                "`models` must be directories of different names, but two are called "
                f"{directory.name!r}"
            )
        models[directory.name] = _translator(settings, directory)
    return gateways(settings, models)


def gateways(settings: Settings, models: dict[str, Application]) -> Application:
    """The gateways' deployment, bound to the translators by model name."""
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
    return gateway.bind(settings, models)


def model_directories(settings: Settings) -> list[Path]:
    """The model directories; those of the embedded models by default."""
    return [model_directory(name).resolve() for name in settings.models or EMBEDDED]


def translator_name(directory: Path) -> str:
    """The name of the deployment that serves the model in `directory`."""
    return f"Translator-{directory.name}"


def engine_config(settings: Settings) -> EngineConfig:
    """The engine of each replica: as many threads as Ray reserves CPUs for it, unless set."""
    config = settings.engine.to_config()
    if config.num_threads is not None:
        return config
    return replace(config, num_threads=max(1, int(settings.num_cpus_per_replica)))


def _translator(settings: Settings, directory: Path) -> Application:
    scaling: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.autoscaling is not None:
        scaling = {"autoscaling_config": serve_config(settings.autoscaling)}
    translator = serve.deployment(
        name=translator_name(directory),
        ray_actor_options={
            "num_cpus": settings.num_cpus_per_replica,
            "num_gpus": settings.num_gpus_per_replica,
        },
        # Unbounded: gateways limit the requests in flight, and to Serve a burst is queued until it
        # has looked for a free replica.
        max_queued_requests=-1,
        max_ongoing_requests=settings.max_ongoing_requests,
        request_router_config={"request_router_class": HealthAwareRouter},
        **scaling,
        **common_options(settings),
    )(TranslatorReplica)
    # By name: another node may have the project installed elsewhere.
    embedded = {place.resolve(): name for name, place in EMBEDDED.items()}
    return translator.bind(
        embedded.get(directory, str(directory)),
        engine_config(settings),
        max_batch_calls=int(settings.max_ongoing_requests * settings.engine.batch_share),
        log_level=settings.log_level,
        reports=True,
    )


def _with_pickle(handle: DeploymentHandle[Any]) -> DeploymentHandle[Any]:
    """The handle with pickle: Serve's default, cloudpickle, takes 4 to 5 times as long here."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def common_options(settings: Settings) -> dict[str, Any]:
    """Options of all deployments: health checks, shutdown and logging."""
    return {
        "health_check_period_s": settings.health_check_period_seconds,
        "health_check_timeout_s": settings.health_check_timeout_seconds,
        "graceful_shutdown_timeout_s": settings.graceful_shutdown_seconds,
        "graceful_shutdown_wait_loop_s": min(0.5, settings.graceful_shutdown_seconds),
        "max_constructor_retry_count": _CONSTRUCTOR_ATTEMPTS,
        # Requests are logged by the gateway, as JSON and under their own id.
        "logging_config": LoggingConfig(enable_access_log=False, log_level="WARNING").model_dump(),
    }
