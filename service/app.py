"""The application that Ray Serve runs: gateways in front, one deployment of translators per model.

`serve run service.app:build models=path/to/model` and deploy/serve.yaml both come here.
"""

# Serve looks at the annotation of `build` itself: it must be the class, not its name in a string.

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
"""The deployment in front."""

_COLLECT_AFTER_OBJECTS = 10_000
"""Of Python's collector, whose own 700 are less than the requests in flight hold together: most of
what it would look at, again and again, is still needed."""

_CONSTRUCTOR_ATTEMPTS = 3
"""Starts of a replica before its deployment is given up; a damaged model does not get better."""


@serve.ingress()
class Gateway:
    """One HTTP front, whose FastAPI application is built in the replica that serves it."""

    def __init__(self, settings: Settings, models: dict[str, DeploymentHandle[Any]]) -> None:
        # The real one: depending on its settings, Serve puts a logger of its own before sys.stderr.
        configure_logging(settings.log_level, sys.__stderr__)
        # The process is this replica's own.
        gc.set_threshold(_COLLECT_AFTER_OBJECTS)
        self._settings = settings
        self._metrics = GatewayMetrics()
        self._admission = Admission(settings.limits)
        self._hub = HubClient.of_this_replica(
            lambda: take_snapshot(self._metrics.registry), keeps_backup=True
        )
        self._router = Router(
            {name: ServeBackend(_plain(handle)) for name, handle in models.items()},
            info_timeout_seconds=settings.info_timeout_seconds,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve asks for the application here, on the event loop that will run it."""
        self._hub.start()
        return build_gateway(
            self._settings,
            self._router,
            self._metrics,
            self._render_metrics,
            admission=self._admission,
            echo_request_id=False,  # Serve's proxy repeats the header itself
        )

    async def drain(self) -> None:
        """Lets nothing in any more, and returns when everything that was let in is answered."""
        await self._admission.drain()

    async def _render_metrics(self) -> bytes:
        timeout = self._settings.metrics_timeout_seconds
        return render(await asyncio.to_thread(self._hub.merged, timeout=timeout))

    def __del__(self) -> None:
        # Serve calls this when the replica has drained; a failed __init__ leaves nothing here.
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
    """What stands in front of `models`, which are translators by the names of their models."""
    placement: dict[str, Any] = {}
    if settings.gateways_per_node is not None:
        placement = {"max_replicas_per_node": settings.gateways_per_node}
    gateway = serve.deployment(
        name=GATEWAY,
        num_replicas=settings.gateway_replicas,
        ray_actor_options={"num_cpus": settings.num_cpus_per_gateway},
        # The gateway has a limit of its own, and words for it; Serve's must lie above, or requests
        # would wait unseen, and so would those for /health and /metrics.
        max_ongoing_requests=2 * settings.limits.max_in_flight,
        max_queued_requests=settings.limits.max_in_flight,
        **placement,
        **common_options(settings),
    )(Gateway)
    return gateway.bind(settings, models)


def model_directories(settings: Settings) -> list[Path]:
    """Where the models are; the embedded ones when none is named."""
    return [model_directory(name).resolve() for name in settings.models or EMBEDDED]


def translator_name(directory: Path) -> str:
    """Of the deployment that serves the model in `directory`."""
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
        # Not bounded here: each gateway has its own limit of requests in flight, and Serve counts a
        # burst as queued before it has looked for a free replica.
        max_queued_requests=-1,
        max_ongoing_requests=settings.max_ongoing_requests,
        request_router_config={"request_router_class": HealthAwareRouter},
        **scaling,
        **common_options(settings),
    )(TranslatorReplica)
    # Another node may have the project, and what comes with it, elsewhere.
    embedded = {place.resolve(): name for name, place in EMBEDDED.items()}
    return translator.bind(
        embedded.get(directory, str(directory)),
        engine_config(settings),
        log_level=settings.log_level,
        reports=True,
    )


def _plain(handle: DeploymentHandle[Any]) -> DeploymentHandle[Any]:
    """What crosses it is plain data; cloudpickle, Serve's choice over gRPC, takes 4 to 5 times as
    long for it."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def common_options(settings: Settings) -> dict[str, Any]:
    """What all deployments have in common: their health, their end, and what they log."""
    return {
        "health_check_period_s": settings.health_check_period_seconds,
        "health_check_timeout_s": settings.health_check_timeout_seconds,
        "graceful_shutdown_timeout_s": settings.graceful_shutdown_seconds,
        "graceful_shutdown_wait_loop_s": min(0.5, settings.graceful_shutdown_seconds),
        "max_constructor_retry_count": _CONSTRUCTOR_ATTEMPTS,
        # Requests are logged by the gateway, as JSON and under their own id.
        "logging_config": LoggingConfig(enable_access_log=False, log_level="WARNING").model_dump(),
    }
