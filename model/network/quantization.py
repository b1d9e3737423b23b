"""Narrow arithmetic in plain PyTorch: the oracle of the compiled engine's int8 and bfloat16.

Weights are scaled for each output, inputs for each row, so that no row's result depends on another
row. Embeddings are rounded as weights are: those of the target are the projection's, when these are
tied. Everything but the products stays float32; the cached keys and values are bfloat16.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import DecoderKind
from model.errors import InvalidRequestError
from model.network.transformer import Transformer

__all__ = ["Bfloat16Linear", "Int8Linear", "narrowed", "quantize_rows"]


_SMALLEST = 1e-36
"""127 divided by less than that may be infinite in float32: such rows are zeros."""


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """(..., K) -> whole numbers from -127 to 127 as floats, (..., K), and scales (..., 1).

    A row is its whole numbers times its scale; ties are rounded to even.
    """
    largest = x.abs().amax(dim=-1, keepdim=True)
    inverse = torch.where(largest > _SMALLEST, 127.0 / largest, torch.zeros_like(largest))
    return torch.round(x * inverse), largest / 127.0


class Int8Linear(nn.Module):
    """A linear map of int8 weights (per output) and int8 inputs (per row), summed exactly."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        quantized_x, x_scale = quantize_rows(x)
        quantized_w, w_scale = quantize_rows(self.weight)
        # Every partial sum is a whole number below 2^53: float64 is exact.
        exact = quantized_x.double() @ quantized_w.double().T
        y = exact.float() * (w_scale.squeeze(-1) * x_scale)
        return y if self.bias is None else y + self.bias


class Bfloat16Linear(nn.Module):
    """A linear map of bfloat16 weights and inputs, summed in float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return F.linear(x.bfloat16().float(), self.weight.bfloat16().float(), self.bias)


def _rounded(weight: Tensor, precision: str) -> Tensor:
    """What is left of (V, D) float32 numbers in "int8" or "bfloat16"."""
    if precision == "bfloat16":
        return weight.bfloat16().float()
    whole, scales = quantize_rows(weight)
    return whole * scales


class _Cached(nn.Module):
    """Keys or values as the cache keeps them."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).bfloat16().float()  # type: ignore[no-any-return]


_LINEARS: dict[str, type[Int8Linear | Bfloat16Linear]] = {
    "int8": Int8Linear,
    "bfloat16": Bfloat16Linear,
}


def narrowed(model: Transformer, precision: str) -> Transformer:
    """A copy of a float32 model that computes its products in "int8" or "bfloat16".

    Raises:
        InvalidRequestError: there is no such precision.
    """
    if precision not in _LINEARS:
        raise InvalidRequestError(
            f"`precision` must be {' or '.join(_LINEARS)}, but is {precision!r}"
        )
    narrow = copy.deepcopy(model)
    for embedding in (narrow.src_embedding, narrow.tgt_embedding):
        # One of its own, for the projection rounds the same matrix by itself.
        rounded = _rounded(embedding.tokens.weight.detach(), precision)
        embedding.tokens = nn.Embedding(len(rounded), rounded.size(1), _weight=rounded)
    for module in list(narrow.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, _LINEARS[precision](child))
    layer: Any
    for layer in narrow.decoder_layers:
        own = [layer.self_attn] if layer.kind is DecoderKind.ATTENTION else []
        for attention in (*own, layer.cross_attn):
            attention.k_proj = _Cached(attention.k_proj)
            attention.v_proj = _Cached(attention.v_proj)
    return narrow
