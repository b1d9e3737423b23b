"""Where a decoder layer has the target's past from: a whole target at once, or a cache.

Both give the same numbers; teacher forcing is the reference of cached decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.network.attention import MultiHeadAttention
from model.network.kv_cache import KVCache

__all__ = ["CachedPast", "TargetPast", "WholeTarget"]


class TargetPast(Protocol):
    """What a decoder layer asks about the past of its inputs, each with its own past."""

    def attend(self, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """Masked self-attention: (B, T, D) -> (B, T, D)."""

    def recur(self, forget: Tensor, update: Tensor) -> Tensor:
        """c of each position, with c(t) = forget c(t - 1) + (1 - forget) update and c(-1) = 0.

        All are (B, T, D).
        """

    def mean(self, x: Tensor) -> Tensor:
        """The mean of each position's input and all inputs before: (B, T, D) -> (B, T, D)."""


@dataclass(frozen=True)
class WholeTarget:
    """All positions at once, under a causal mask (1, 1, T, T): see `TargetPast`."""

    mask: Tensor

    def attend(self, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """See `TargetPast`."""
        return attention(x, x, self.mask)  # type: ignore[no-any-return]

    def recur(self, forget: Tensor, update: Tensor) -> Tensor:
        """See `TargetPast`."""
        state = torch.zeros_like(update[:, 0])
        states = []
        for gate, new in zip(forget.unbind(1), update.unbind(1), strict=True):
            state = gate * state + (1.0 - gate) * new
            states.append(state)
        return torch.stack(states, dim=1)

    def mean(self, x: Tensor) -> Tensor:
        """See `TargetPast`."""
        count = torch.arange(1, x.size(1) + 1, device=x.device, dtype=x.dtype)
        return x.cumsum(1) / count[:, None]


@dataclass(frozen=True)
class CachedPast:
    """One position of each row, from and into one layer of a cache: see `TargetPast`."""

    cache: KVCache
    layer: int
    slots: Tensor
    """(B,)"""
    positions: Tensor
    """(B,)"""
    mask: Tensor
    """(B, 1, 1, M): which of the first M positions are a row's past or itself."""

    def attend(self, attention: MultiHeadAttention, x: Tensor) -> Tensor:
        """See `TargetPast`; T is 1."""
        keys_values = attention.project_keys_values(x)
        self.cache.append_self(self.layer, self.slots, self.positions, *keys_values)
        past = self.cache.read_self(self.layer, self.slots, self.mask.size(-1))
        return attention.attend_projected(x, *past, self.mask)

    def recur(self, forget: Tensor, update: Tensor) -> Tensor:
        """See `TargetPast`; T is 1."""
        state = forget[:, 0] * self._state() + (1.0 - forget[:, 0]) * update[:, 0]
        self.cache.write_state(self.layer, self.slots, state)
        return state[:, None].to(update.dtype)

    def mean(self, x: Tensor) -> Tensor:
        """See `TargetPast`; T is 1."""
        total = self._state() + x[:, 0]
        self.cache.write_state(self.layer, self.slots, total)
        return (total / (self.positions + 1)[:, None])[:, None].to(x.dtype)

    def _state(self) -> Tensor:
        """(B, D); a slot's last owner may have left any numbers."""
        state = self.cache.read_state(self.layer, self.slots)
        return state.masked_fill(self.positions[:, None] == 0, 0.0)
