"""Everything a device keeps for each slot, allocated once: caches, histories, searches.

A slot is a row for one hypothesis. What belongs to a whole sequence lies at its *lead*, the first
of its slots. There is one slot more than asked for, the *spare*: rows that only fill up a batch
work on it, and nobody reads what they leave there.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from model.config import TransformerConfig

__all__ = ["Counter", "Factor", "SlotMemory"]

ENDED_PER_SLOT = 2
"""A beam of K ends at most 2K - 1 hypotheses: fewer than K before a step, and up to K in it."""


class Counter(IntEnum):
    """Rows of `SlotMemory.counters`: integers of a sequence."""

    POSITION = 0
    """Of the tokens that are fed next."""
    LIMIT = 1
    """Most target tokens, the end token included."""
    WANTED = 2
    """Hypotheses to return."""
    ENDED = 3
    """Hypotheses that have ended so far."""
    DONE = 4
    """1 when the search is over: nothing of the sequence changes any more."""
    SOURCE_LEN = 5
    NGRAM = 6
    """`no_repeat_ngram_size`."""


class Factor(IntEnum):
    """Rows of `SlotMemory.factors`: real numbers of a sequence."""

    LENGTH_PENALTY = 0
    REPETITION_PENALTY = 1


class SlotMemory:
    """The tensors. L decoder layers, N = max_slots + 1, P = max_positions.

    Args:
        config: of the model.
        max_slots: hypotheses that run at the same time.
        dtype: of keys and values.
        device: where all of it is allocated.
    """

    def __init__(
        self,
        config: TransformerConfig,
        max_slots: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        slots, positions = max_slots + 1, config.max_positions
        self.spare = max_slots
        self.max_positions = positions

        def allocate(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        cache_shape = (
            config.num_decoder_layers, slots, config.num_heads, positions, config.head_dim,
        )  # fmt: skip
        self.self_keys = allocate(*cache_shape, dtype=dtype)
        """(L, N, H, P, K), as are the three that follow."""
        self.self_values = allocate(*cache_shape, dtype=dtype)
        self.cross_keys = allocate(*cache_shape, dtype=dtype)
        """At leads only: the hypotheses of a sequence share its source."""
        self.cross_values = allocate(*cache_shape, dtype=dtype)
        self.ancestors = allocate(2, slots, positions, dtype=torch.int32)
        """[position % 2, slot, p]: the slot whose cache holds position p of this hypothesis, for
        every p before `position`. A step reads one half and writes the other, so no hypothesis is
        overwritten before its heirs have read it. Beams of one do without."""
        self.live_log_probs = allocate(slots, dtype=torch.float32)
        """(N,) of the live hypotheses; valid from position 1 on."""
        self.counters = allocate(len(Counter), slots, dtype=torch.int32)
        self.factors = allocate(len(Factor), slots, dtype=torch.float64)
        self.journal = allocate(slots, 2 * positions + 4 * ENDED_PER_SLOT, dtype=torch.int32)
        """(N, 2P + 8): the next six, which view it, in one piece for the host to fetch."""
        widths = [positions, positions, *[ENDED_PER_SLOT] * 4]
        views = torch.split(self.journal, widths, dim=1)
        tokens, parents, log_probs, beams, lengths, last = views
        self.tokens = tokens
        """(N, P) fed at each position; [:, 0] is `bos_id` for ever."""
        self.parents = parents
        """(N, P) which beam, counted from 0, the position before belongs to."""
        self.ended_log_probs = log_probs.view(torch.float32)
        """(N, 2), as are the three that follow. The ended hypothesis e of a sequence is entry e % 2
        of its slot e // 2."""
        self.ended_beams = beams
        """Where its last fed token is."""
        self.ended_lengths = lengths
        """Target tokens: the end token included when it has one."""
        self.ended_tokens = last
        """What it was cut off with at the limit; -1 when it ended by itself."""
        self.tokens[:, 0] = config.bos_id
        self.counters[Counter.DONE, self.spare] = 1
        self.counters[Counter.SOURCE_LEN, self.spare] = 1

    @staticmethod
    def size_bytes(config: TransformerConfig, max_slots: int, dtype: torch.dtype) -> int:
        """What the constructor would allocate."""
        keys_values = 4 * config.num_decoder_layers * config.d_model * dtype.itemsize
        per_position = keys_values + 4 * torch.int32.itemsize
        per_slot = 4 * (4 * ENDED_PER_SLOT + 1 + len(Counter)) + 8 * len(Factor)
        return (max_slots + 1) * (config.max_positions * per_position + per_slot)
