"""How much memory a model takes on a CPU, from its configuration alone."""

from __future__ import annotations

import math

from model.config import DecoderKind, TransformerConfig
from model.network.shapes import weight_shapes

__all__ = ["WEIGHT_BYTES", "shortlist_bytes", "shortlist_limit", "slot_bytes", "weights_bytes"]

WEIGHT_BYTES = {"int8": 1, "bfloat16": 2, "float32": 4}
"""Bytes of an entry of a matrix, by the engine's dtype."""
_LANES = 16
"""Rows of the native engine's cache are multiples of so many numbers long."""


def weights_bytes(config: TransformerConfig, dtype: str) -> int:
    """Bytes of all weights, as the native engine holds them.

    Vectors and positions are float32 in every `dtype`, and in int8 each row has a scale.
    """
    total = 4 * config.max_positions * config.d_model
    for name, shape in weight_shapes(config).items():
        if name.endswith(".positions"):
            continue
        if len(shape) == 1:
            total += 4 * shape[0]
        else:
            total += math.prod(shape) * WEIGHT_BYTES[dtype] + 4 * shape[0] * (dtype == "int8")
    return total


def slot_bytes(config: TransformerConfig, dtype: str) -> int:
    """Bytes of a slot of the native engine's cache, if source and target are the longest.

    A hypothesis takes a slot. What shorter ones do not write takes no memory.
    """
    number = 4 if dtype == "float32" else 2
    blocks = math.ceil(config.max_positions / _LANES)
    head = _up(config.d_model // config.num_heads)
    keys_values = blocks * config.num_heads * 2 * _LANES * head * number
    if config.decoder_kind is DecoderKind.ATTENTION:
        return config.num_decoder_layers * 2 * keys_values
    return config.num_decoder_layers * (keys_values + 2 * 4 * _up(config.d_model))


def shortlist_limit(config: TransformerConfig) -> int:
    """Most target ids of a sequence's shortlist: a quarter of the vocabulary, but 1,024 to 8,192.

    A sequence with more is searched without one: of a quarter, little time is saved.
    """
    return max(1024, min(config.tgt_vocab_size // 4, 8192))


def shortlist_bytes(config: TransformerConfig, dtype: str) -> int:
    """Most bytes that a sequence takes beside its slots if the model has a shortlist.

    They are the native engine's copy of the rows of the projection that the shortlist names.
    """
    rows = _up(min(shortlist_limit(config), config.tgt_vocab_size))
    return rows * (_up(config.d_model) * WEIGHT_BYTES[dtype] + 2 * 4) + 4 * rows


def _up(width: int) -> int:
    return math.ceil(width / _LANES) * _LANES
