"""How much memory a model takes on a CPU, from its configuration alone."""

from __future__ import annotations

import math

from model.config import DecoderKind, TransformerConfig
from model.network.shapes import weight_shapes

__all__ = [
    "WEIGHT_BYTES",
    "scratch_bytes",
    "shortlist_bytes",
    "shortlist_limit",
    "slot_bytes",
    "weights_bytes",
]

WEIGHT_BYTES = {"int8": 1, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of an entry of a matrix, by the engine's dtype."""
_LANES = 16
"""Rows of the native engine's cache are multiples of so many numbers long."""
_ROWS = 192
"""Tokens that are encoded together."""


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


def slot_bytes(
    config: TransformerConfig, dtype: str, *, max_source_tokens: int | None = None
) -> int:
    """Bytes of a slot of the native engine's cache, if source and target are the longest.

    A hypothesis takes a slot. What shorter ones do not write takes no memory.

    Args:
        config, dtype: of the engine.
        max_source_tokens: of the longest source there will be; None is all positions.
    """
    number = 8 if dtype == "float64" else 4 if dtype == "float32" else 2
    head = _up(config.d_model // config.num_heads)
    block = config.num_heads * 2 * _LANES * head * number
    of_source = math.ceil((max_source_tokens or config.max_positions) / _LANES) * block
    if config.decoder_kind is DecoderKind.ATTENTION:
        of_target = math.ceil(config.max_positions / _LANES) * block
    else:
        of_target = 2 * 4 * _up(config.d_model)
    return config.num_decoder_layers * (of_source + of_target)


def scratch_bytes(config: TransformerConfig) -> int:
    """Most bytes in which a thread of the native engine keeps activations, while it works."""
    widest = max(config.d_ff, 3 * config.d_model)
    return _ROWS * (3 * config.d_model + widest) * 4 * 3 // 2  # half as much again: they grow so


def shortlist_limit(config: TransformerConfig) -> int:
    """Most target ids of a sequence's shortlist: a quarter of the vocabulary, but 1,024 to 8,192.

    A sequence with more is searched without one: of a quarter, little time is saved.
    """
    return max(1024, min(config.tgt_vocab_size // 4, 8192))


def shortlist_bytes(config: TransformerConfig, dtype: str, num_ids: int) -> int:
    """Bytes that a sequence with a shortlist of `num_ids` takes beside its slots.

    They are the native engine's copy of the rows of the projection that the shortlist names.
    """
    rows = _up(min(num_ids, shortlist_limit(config), config.tgt_vocab_size))
    return rows * (_up(config.d_model) * WEIGHT_BYTES[dtype] + 2 * 4) + 4 * rows


def _up(width: int) -> int:
    return math.ceil(width / _LANES) * _LANES
