"""The KV cache: a fixed number of slots, allocated once.

Two kinds of entry, as an encoder-decoder has two kinds of attention:

    self   grows by one position per decode step; one slot for each hypothesis. A decoder without
           self-attention has a state of D numbers in its place
    cross  written once, when the source has been encoded, and never grows; one slot for each
           source, shared by all its hypotheses

A sequence's cross entry lives in the first of its slots. Slots are not contiguous and their lengths
differ, so a row reaches its slot through an index and carries its own length: that is what lets a
sequence join or leave a running batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from model.config import DecoderKind, TransformerConfig

__all__ = ["KVCache"]


class KVCache:
    """Keys and values of `max_slots` slots for every decoder layer.

    Tensors are (num_decoder_layers, max_slots, H, positions, K), and (num_decoder_layers,
    max_slots, D) the states, in float32 at least: what is added up needs it. Memory that was never
    written is never touched either, so on Linux short sentences cost only what they use.
    """

    def __init__(
        self,
        config: TransformerConfig,
        max_slots: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        max_source_len: int | None = None,
        max_target_len: int | None = None,
    ) -> None:
        source_len = max_source_len or config.max_positions
        target_len = max_target_len or config.max_positions
        layers, heads, width = config.num_decoder_layers, config.num_heads, config.head_dim
        attention = config.decoder_kind is DecoderKind.ATTENTION

        def allocate(positions: int) -> Tensor:
            return _zeros((layers, max_slots, heads, positions, width), dtype, torch.device(device))

        self.max_slots = max_slots
        kept = target_len if attention else 0
        self.self_keys, self.self_values = allocate(kept), allocate(kept)
        self.states = _zeros(
            (layers, max_slots, 0 if attention else config.d_model),
            torch.promote_types(dtype, torch.float32),
            torch.device(device),
        )
        self.cross_keys, self.cross_values = allocate(source_len), allocate(source_len)
        self.source_lengths = torch.zeros(max_slots, dtype=torch.long, device=device)

    @property
    def size_bytes(self) -> int:
        """Bytes reserved, touched or not."""
        of_self = (self.self_keys, self.self_values, self.states)
        return sum(tensor.nbytes for tensor in (*of_self, self.cross_keys, self.cross_values))

    def write_cross(
        self, layer: int, slots: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
    ) -> None:
        """Stores one layer's projected encoder output, (B, H, S, K), in `slots` (B,)."""
        source_len = keys.size(2)
        self.cross_keys[layer, slots, :, :source_len] = keys
        self.cross_values[layer, slots, :, :source_len] = values
        self.source_lengths[slots] = lengths

    def read_cross(self, layer: int, slots: Tensor, max_len: int) -> tuple[Tensor, Tensor]:
        """Keys and values of `slots` (B,), up to `max_len`: (B, H, max_len, K) each."""
        return (
            self.cross_keys[layer, :, :, :max_len].index_select(0, slots),
            self.cross_values[layer, :, :, :max_len].index_select(0, slots),
        )

    def append_self(
        self, layer: int, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Stores one position of each row: keys and values (B, H, 1, K) at `positions` (B,)."""
        self.self_keys[layer, slots, :, positions] = keys.squeeze(2)
        self.self_values[layer, slots, :, positions] = values.squeeze(2)

    def read_self(self, layer: int, slots: Tensor, max_len: int) -> tuple[Tensor, Tensor]:
        """Keys and values of `slots` (B,), up to `max_len`: (B, H, max_len, K) each."""
        return (
            self.self_keys[layer, :, :, :max_len].index_select(0, slots),
            self.self_values[layer, :, :, :max_len].index_select(0, slots),
        )

    def write_state(self, layer: int, slots: Tensor, states: Tensor) -> None:
        """Stores one layer's states, (B, D), in `slots` (B,)."""
        self.states[layer, slots] = states.to(self.states.dtype)

    def read_state(self, layer: int, slots: Tensor) -> Tensor:
        """One layer's states in `slots` (B,): (B, D)."""
        return self.states[layer].index_select(0, slots)

    def reorder_self(self, from_slots: Tensor, to_slots: Tensor, max_len: int) -> None:
        """Copies the self-attention entries, or states, of `from_slots` (B,) to `to_slots` (B,).

        All are read before any is written, so beams may trade places.
        """
        for tensor in (self.self_keys, self.self_values):
            tensor[:, to_slots, :, :max_len] = tensor[:, from_slots, :, :max_len]
        self.states[:, to_slots] = self.states[:, from_slots]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros: what a mask hides is multiplied by zero, and zero times an unset NaN is NaN."""
    num_bytes = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or num_bytes == 0:
        return torch.zeros(shape, dtype=dtype, device=device)
    # torch.zeros writes its zeros, and so takes the memory at once; NumPy's come from the system
    # page by page, when they are first written to.
    return torch.from_numpy(np.zeros(num_bytes, dtype=np.uint8)).view(dtype).view(shape)
