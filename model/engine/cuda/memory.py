"""What a model takes on a GPU, from its configuration alone: before anything is loaded."""

from __future__ import annotations

import torch

from model.config import TransformerConfig
from model.engine.cuda.budget import MemoryBudget, slots_within
from model.engine.cuda.packing import buckets_for_sources
from model.network.shapes import num_parameters

__all__ = ["gpu_budget", "gpu_slots"]


def gpu_budget(config: TransformerConfig, dtype: str, max_slots: int) -> MemoryBudget:
    """The memory of a runner.

    Args:
        config: of the model.
        dtype: "bfloat16" or "float32".
        max_slots: hypotheses at a time.
    """
    return MemoryBudget.of(
        config,
        num_parameters=num_parameters(config),
        max_slots=max_slots,
        encoded_tokens=buckets_for_sources(config.max_positions)[-1],
        dtype=getattr(torch, dtype),
    )


def gpu_slots(config: TransformerConfig, dtype: str, free_bytes: int) -> int | None:
    """Slots that a runner takes when it is not told how many; None if not even one fits."""

    def budget(slots: int) -> MemoryBudget:
        return gpu_budget(config, dtype, slots)

    slots = slots_within(free_bytes, budget)
    return slots if budget(slots).total <= free_bytes else None
