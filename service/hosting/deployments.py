"""The deployments of translators, as Ray Serve is told about them."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from service.autoscaling.policy import serve_config
from service.catalog.directories import engine_config
from service.catalog.entry import POOL, CatalogEntry
from service.hosting.memory_budget import shared_memory
from service.hosting.replica import TranslatorReplica
from service.observability.metrics import SHARED_MODELS
from service.routing.replica_health import HealthAwareRouter
from service.settings import Autoscaling, Settings

__all__ = [
    "common_options",
    "made_of",
    "model_application",
    "pool_deployment",
    "translator_deployment",
]

_CONSTRUCTOR_ATTEMPTS = 3
"""Attempts to start a replica before its deployment fails."""


def translator_deployment(
    settings: Settings, entry: CatalogEntry, *, hub: str | None = None
) -> Application:
    """The replicas of one model, which have it as long as they live.

    Args:
        settings: of the service.
        entry: the model.
        hub: application that has the service's metrics; None for that of the deployment.
    """
    scaling: dict[str, Any] = {"num_replicas": entry.num_replicas(settings)}
    if (autoscaling := entry.autoscaling(settings)) is not None:
        scaling = {"autoscaling_config": serve_config(autoscaling, entry.id, hub=hub)}
    translator = serve.deployment(
        name=entry.deployment, **_translator_options(settings), **scaling
    )(TranslatorReplica)
    return translator.bind((entry.hosted,), **_translator_arguments(settings), hub=hub)


def made_of(settings: Settings, entry: CatalogEntry) -> tuple[object, ...]:
    """All that the replicas of one model are made of; they must be replaced where it differs."""
    return (
        entry.hosted,
        entry.num_replicas(settings),
        entry.autoscaling(settings),
        _translator_options(settings),
        _translator_arguments(settings),
    )


def pool_deployment(settings: Settings, *, can_sleep: bool) -> Application:
    """The replicas that models share: each holds what is asked for, within its memory budget.

    Args:
        can_sleep: whether there is none until one is needed.
    """
    scaling: dict[str, Any] = {"num_replicas": settings.shared_replicas}
    autoscaling = settings.shared_autoscaling
    if can_sleep:
        most = settings.most_shared_replicas
        autoscaling = (autoscaling or Autoscaling(max_replicas=most)).model_copy(
            update={"min_replicas": 0}
        )
    if autoscaling is not None:
        scaling = {"autoscaling_config": serve_config(autoscaling, SHARED_MODELS)}
    translator = serve.deployment(name=POOL, **_translator_options(settings), **scaling)(
        TranslatorReplica
    )
    return translator.bind(
        (),
        **_translator_arguments(settings),
        memory_budget=shared_memory(settings),
        load_seconds=settings.load_timeout_seconds,
        max_model_calls=max(1, int(settings.max_ongoing_requests * settings.shared_model_share)),
    )


def model_application(settings: Settings, entry: CatalogEntry, *, hub: str) -> Application:
    """The application of a model that has one of its own; see `translator_deployment`."""
    # The first deployment of an application takes HTTP from the proxy, on a port of its own. This
    # one never has a replica; the translators behind it are called through handles.
    nowhere = serve.deployment(
        name="Ingress",
        autoscaling_config=AutoscalingConfig(min_replicas=0, initial_replicas=0, max_replicas=1),
        ray_actor_options={"num_cpus": 0},
        **common_options(settings),
    )(_Ingress)
    return nowhere.bind(translator_deployment(settings, entry, hub=hub))


class _Ingress:
    """What Serve wants each application to have."""

    def __init__(self, translator: object) -> None:
        del translator


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


def _translator_options(settings: Settings) -> dict[str, Any]:
    return {
        "ray_actor_options": {
            "num_cpus": settings.num_cpus_per_replica,
            "num_gpus": settings.num_gpus_per_replica,
        },
        # Unbounded: gateways limit the requests in flight, and to Serve a burst is queued until it
        # has looked for a free replica.
        "max_queued_requests": -1,
        "max_ongoing_requests": settings.max_ongoing_requests,
        "request_router_config": {"request_router_class": HealthAwareRouter},
        **common_options(settings),
    }


def _translator_arguments(settings: Settings) -> dict[str, Any]:
    return {
        "engine": engine_config(settings),
        "max_batch_calls": int(settings.max_ongoing_requests * settings.engine.batch_share),
        "cache_bytes": settings.segment_cache_mib * 1024 * 1024,
        "log_level": settings.log_level,
        "reports": True,
    }
