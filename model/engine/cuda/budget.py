"""How much of a device's memory a runner takes, before it takes any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.config import TransformerConfig
from model.engine.cuda.kernels.slot_memory import SlotMemory
from model.errors import InvalidRequestError

__all__ = ["MOST_SLOTS", "MemoryBudget", "slots_within"]

MOST_SLOTS = 1024
"""That a runner takes when it is not told: with so many, loadtests/gpu looks at latency. A step
reads the weights once for all its rows, so that a device with few of them starves."""

_GIB = 2**30

_LIBRARIES = _GIB // 2
"""For the workspaces of libraries, the graphs themselves, and what lies idle between tensors."""


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Bytes of a device."""

    slots: int
    """Caches, histories and searches: they grow with `max_slots` and `max_positions`."""
    weights: int
    scratch: int
    """What lives during one step or one encoding, at most; graphs share it."""

    @classmethod
    def of(
        cls,
        config: TransformerConfig,
        *,
        num_parameters: int,
        max_slots: int,
        encoded_tokens: int,
        dtype: torch.dtype,
    ) -> MemoryBudget:
        """The budget of a runner with `max_slots` that encodes at most `encoded_tokens` at once."""
        width, size = config.d_model, dtype.itemsize
        layer = (8 * width + 2 * config.d_ff) * size + 3 * width * 4
        # Logits twice: lexical constraints work on a copy. The attention to sources, if asked for.
        step = max_slots * (layer + 2 * config.tgt_vocab_size * 4 + config.max_positions * 4)
        encoding = encoded_tokens * (layer + 2 * config.num_decoder_layers * width * size)
        return cls(
            slots=SlotMemory.size_bytes(config, max_slots, dtype),
            weights=num_parameters * size,
            scratch=step + encoding + _LIBRARIES,
        )

    @property
    def total(self) -> int:
        """All of it."""
        return self.slots + self.weights + self.scratch

    def check(self, free_bytes: int, *, max_slots: int, max_positions: int) -> None:
        """Holds the sum against what is free.

        Raises:
            InvalidRequestError: it is more.
        """
        if self.total <= free_bytes:
            return
        raise InvalidRequestError(
            f"`max_slots` must be lower than {max_slots} on this device: with {max_positions} "
            f"positions each they take {self.slots / _GIB:.1f} GiB, the weights "
            f"{self.weights / _GIB:.1f} and a step {self.scratch / _GIB:.1f}, "
            f"but {free_bytes / _GIB:.1f} GiB are free"
        )


def slots_within(free_bytes: int, budget: Callable[[int], MemoryBudget]) -> int:
    """As many slots as fit, `MOST_SLOTS` at most and one at least.

    Args:
        free_bytes: of the device.
        budget: of a runner with so many slots.
    """
    # Every part of it grows in proportion to the slots, or not at all.
    alone = budget(0).total
    each = budget(1).total - alone
    return max(1, min(MOST_SLOTS, (free_bytes - alone) // each))
