"""Whether a model fits into the memory that there is for it, before it is loaded."""

from __future__ import annotations

import math

from model.errors import InvalidRequestError
from service.catalog import CatalogEntry
from service.catalog_entries import engine_config
from service.memory_limit import memory_limit
from service.model_pool import memory_of, shared_engine
from service.settings import Settings

__all__ = ["require_memory", "shared_memory"]


def shared_memory(settings: Settings) -> int:
    """Bytes that all models of one shared replica may take together."""
    if settings.shared_memory_mib is not None:
        return settings.shared_memory_mib * 2**20
    return memory_limit() // 2 // settings.shared_replicas


def require_memory(entry: CatalogEntry, settings: Settings, free: int | None = None) -> None:
    """Computes what a model takes on a CPU.

    Args:
        entry: the model.
        settings: of the service.
        free: bytes that are left for a model with replicas of its own; None if that is not known.

    Raises:
        CheckpointError: its directory is damaged.
        InvalidRequestError: it cannot fit.
    """
    if entry.info.device != "cpu":
        return
    engine = engine_config(settings)
    if entry.shared:
        available = shared_memory(settings)
        memory = memory_of(entry.hosted, shared_engine(entry.hosted, engine, available))
        needed = memory.loaded + memory.working
        place = "of `shared_memory_mib`"
    elif free is not None:
        replicas = max(1, entry.least_replicas(settings))
        needed = memory_of(entry.hosted, engine).loaded * replicas
        available, place = free, "that are left"
    else:
        return
    if needed > available:
        raise InvalidRequestError(
            f"{entry.id} takes {math.ceil(needed / 2**20)} MiB of memory in {entry.info.dtype}, "
            f"which must fit into the {available // 2**20} MiB {place}"
        )
