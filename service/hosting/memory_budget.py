"""Whether there is room for a model: memory, CPUs and GPUs, before it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping

from model.errors import InvalidRequestError
from service.catalog.directories import engine_config
from service.catalog.entry import CatalogEntry
from service.hosting.memory_limit import memory_limit
from service.hosting.model_pool import memory_of, shared_engine
from service.settings import Settings

__all__ = ["require_memory", "require_resources", "shared_memory"]

_ROUNDING = 1e-4
"""The precision of Ray's books."""


def shared_memory(settings: Settings) -> int:
    """Bytes that all models of one shared replica may take together."""
    if settings.shared_memory_mib is not None:
        return settings.shared_memory_mib * 2**20
    return memory_limit() // 2 // max(1, settings.most_shared_replicas)


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


def require_resources(entry: CatalogEntry, settings: Settings, free: Mapping[str, float]) -> None:
    """Looks whether Ray has what the replicas of a model reserve.

    Args:
        entry: the model.
        settings: of the service.
        free: what nobody has reserved, by the names "CPU" and "GPU".

    Raises:
        InvalidRequestError: there is too little; the replicas would wait for it.
    """
    if entry.shared:
        return
    replicas = max(1, entry.least_replicas(settings))
    for name, option, share in (
        ("CPU", "num_cpus_per_replica", settings.num_cpus_per_replica),
        ("GPU", "num_gpus_per_replica", settings.num_gpus_per_replica),
    ):
        if replicas * share > free.get(name, 0.0) + _ROUNDING:
            raise InvalidRequestError(
                f"{entry.id} takes {share:g} {name} (`{option}`) for each of {replicas} replicas, "
                f"which must fit into the {free.get(name, 0.0):g} that are free"
            )
