"""The arguments of a replica, as the settings have them."""

from __future__ import annotations

from typing import Any

from service.catalog.directories import engine_config
from service.hosting.memory_budget import shared_memory
from service.settings import Settings

__all__ = ["replica_options", "shared_replica_options"]


def replica_options(settings: Settings) -> dict[str, Any]:
    """Arguments of every `TranslatorReplica`, beside its models."""
    return {
        "engine": engine_config(settings),
        "max_batch_calls": int(settings.max_ongoing_requests * settings.engine.batch_share),
        "cache_bytes": settings.segment_cache_mib * 1024 * 1024,
    }


def shared_replica_options(settings: Settings) -> dict[str, Any]:
    """Those of one that holds what is asked for, within its memory budget."""
    return {
        **replica_options(settings),
        "memory_budget": shared_memory(settings),
        "load_seconds": settings.load_timeout_seconds,
        "max_model_calls": max(1, int(settings.max_ongoing_requests * settings.shared_model_share)),
    }
