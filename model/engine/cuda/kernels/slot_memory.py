"""Everything a device keeps for each slot, allocated once: caches, histories, searches.

A slot is a row for one hypothesis. What belongs to a whole sequence lies at its *lead*, the first
of its slots. There is one slot more than asked for, the *spare*: rows that only fill up a batch
work on it, and nobody reads what they leave there.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import SEQUENCE_OPTIONS, DecoderKind, GenerationConfig, TransformerConfig

__all__ = [
    "CUT_OFF",
    "ENDED",
    "Counter",
    "SlotMemory",
    "allowed_words",
    "option_columns",
    "option_row",
]

ENDED_PER_SLOT = 2
"""A beam of K ends at most 2K - 1 hypotheses: fewer than K before a step, and up to K in it."""

ENDED, CUT_OFF = -1, -2
"""See `SlotMemory.ended_tokens`."""


class Counter(IntEnum):
    """Rows of `SlotMemory.counters`: integers of a sequence."""

    POSITION = 0
    """Positions of the tokens that are fed next."""
    LIMIT = 1
    """Most target tokens, the end token included."""
    ENDED = 2
    """Hypotheses that have ended so far."""
    DONE = 3
    """1 when the search is over: nothing of the sequence changes any more."""
    SOURCE_LEN = 4
    GIVEN = 5
    """Target tokens that are given: those of its prefix."""
    ALIGN_FIRST = 6
    """The first of the source tokens to which it is aligned."""
    ALIGN_END = 7
    """The one behind the last."""
    SOURCE_COPIES = 8
    """`most_copies` of the source, of searches that limit repeats."""


_INTEGERS = [option for option in SEQUENCE_OPTIONS if option.kind is not float]
_REALS = [option for option in SEQUENCE_OPTIONS if option.kind is float]


def option_columns(
    generations: Sequence[GenerationConfig],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The options of S sequences: (I, S) for the last rows of the counters, (F, S) the factors."""
    packed = [generation.packed for generation in generations]
    integers = np.frombuffer(b"".join([each[0] for each in packed]), dtype=np.int32)
    reals = np.frombuffer(b"".join([each[1] for each in packed]), dtype=np.float64)
    return integers.reshape(len(packed), -1).T, reals.reshape(len(packed), -1).T


def option_row(name: str) -> int:
    """In which row of its table of `option_columns` an option is."""
    integers = [each.name for each in _INTEGERS]
    return integers.index(name) if name in integers else [each.name for each in _REALS].index(name)


def _option_rows(counters: Tensor, factors: Tensor) -> dict[str, Tensor]:
    rows = zip([*_INTEGERS, *_REALS], [*counters[len(Counter) :], *factors], strict=True)
    return {option.name: row for option, row in rows}


def allowed_words(shortlists: Sequence[NDArray[np.int32]], vocab_size: int) -> NDArray[np.int32]:
    """Rows of `SlotMemory.allowed`: (S, V / 32)."""
    bits = np.zeros((len(shortlists), 32 * -(-vocab_size // 32)), dtype=np.uint8)
    for row, shortlist in zip(bits, shortlists, strict=True):
        row[shortlist] = 1
    return np.packbits(bits, axis=1, bitorder="little").view("<i4")


def _words(config: TransformerConfig) -> int:
    return -(-config.tgt_vocab_size // 32)


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

        layers, heads, width = config.num_decoder_layers, config.num_heads, config.head_dim
        attention = config.decoder_kind is DecoderKind.ATTENTION
        self_shape = (layers, slots, heads, positions if attention else 0, width)
        cross_shape = (layers, slots, heads, positions, width)
        self.self_keys = allocate(*self_shape, dtype=dtype)
        """(L, N, H, P, K), as are the three that follow."""
        self.self_values = allocate(*self_shape, dtype=dtype)
        self.cross_keys = allocate(*cross_shape, dtype=dtype)
        """At leads only: the hypotheses of a sequence share its source."""
        self.cross_values = allocate(*cross_shape, dtype=dtype)
        state_width = 0 if attention else config.d_model
        self.states = allocate(2, layers, slots, state_width, dtype=torch.float32)
        """(2, L, N, D), in place of self-attention's: [position % 2] is the state behind it. A step
        reads one half and writes the other, as with `ancestors`."""
        self.ancestors = allocate(2, slots, positions, dtype=torch.int32)
        """[position % 2, slot, p]: the slot whose cache holds position p of this hypothesis, for
        every p before `position`. A step reads one half and writes the other, so no hypothesis is
        overwritten before its heirs have read it. Beams of one do without."""
        self.live_log_probs = allocate(slots, dtype=torch.float32)
        """(N,) of the live hypotheses; valid from position 1 on."""
        self.counters = allocate(len(Counter) + len(_INTEGERS), slots, dtype=torch.int32)
        """(C + I, N) at leads: a row for each Counter, then one for each integer option."""
        self.factors = allocate(len(_REALS), slots, dtype=torch.float64)
        """(F, N) at leads: a row for each option that is a real number."""
        self.allowed = allocate(slots, _words(config), dtype=torch.int32)
        """(N, V / 32) at leads, of searches with a shortlist: token t may be predicted if bit
        t % 32 of number t / 32 is set."""
        self.options = _option_rows(self.counters, self.factors)
        """(N,) of each option of a search, by its name in GenerationConfig; they view the two."""
        self.trace = allocate(slots, 2 * positions + 4 * ENDED_PER_SLOT, dtype=torch.int32)
        """(N, 2P + 8): the next six, which view it, in one piece for the host to fetch."""
        self._name_trace(positions)
        self.attended = allocate(slots, positions, dtype=torch.int32)
        """(N, P) which source token the step at each position attends to most, of sequences that
        ask for it."""
        self.tokens[:, 0] = config.bos_id
        self.counters[Counter.DONE, self.spare] = 1
        self.counters[Counter.SOURCE_LEN, self.spare] = 1
        self.allowed[self.spare] = -1

    def _name_trace(self, positions: int) -> None:
        """Names the parts of the trace."""
        widths = [positions, positions, *[ENDED_PER_SLOT] * 4]
        views = torch.split(self.trace, widths, dim=1)
        tokens, parents, log_probs, beams, lengths, last = views
        self.tokens = tokens
        """(N, P) fed at each position; [:, 0] is `bos_id` for ever. At the lead, what is given is
        there from the start."""
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
        """What it was cut off with at the limit, `CUT_OFF` if that was the end token; `ENDED` when
        it ended by itself."""

    @staticmethod
    def size_bytes(config: TransformerConfig, max_slots: int, dtype: torch.dtype) -> int:
        """What the constructor would allocate."""
        attention = config.decoder_kind is DecoderKind.ATTENTION
        numbers = config.num_decoder_layers * config.d_model
        keys_values = (4 if attention else 2) * numbers * dtype.itemsize
        per_position = keys_values + 5 * torch.int32.itemsize
        integers = 4 * ENDED_PER_SLOT + 1 + len(Counter) + len(_INTEGERS) + _words(config)
        per_slot = 4 * integers + 8 * len(_REALS)
        per_slot += 0 if attention else 2 * numbers * torch.float32.itemsize
        return (max_slots + 1) * (config.max_positions * per_position + per_slot)
