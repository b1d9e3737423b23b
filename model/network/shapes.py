"""Names and shapes of a Transformer's weights, from its configuration alone: no torch in here.

What a file of weights holds can so be judged before memory is taken for any of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from model.config import PositionKind, TransformerConfig

__all__ = ["num_parameters", "weight_shapes"]

_Shape = tuple[int, ...]


def weight_shapes(config: TransformerConfig) -> dict[str, _Shape]:
    """The shape of each parameter of `Transformer(config)` by its name, tied ones once."""
    return dict(_weights(config))


def num_parameters(config: TransformerConfig) -> int:
    """Trained numbers of `Transformer(config)`; a shared matrix counts once."""
    return sum(map(math.prod, weight_shapes(config).values()))


def _weights(config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    width = config.d_model
    yield "src_embedding.tokens.weight", (config.src_vocab_size, width)
    if not config.shared_embeddings:
        yield "tgt_embedding.tokens.weight", (config.tgt_vocab_size, width)
    for side in ("src", "tgt"):
        if config.positions is PositionKind.LEARNED:
            rows = config.max_positions + config.position_offset
            yield f"{side}_embedding.positions", (rows, width)
        if config.embedding_norm:
            yield from _norm(f"{side}_embedding.norm", width)
    for stack, layers, attentions in (
        ("encoder", config.num_encoder_layers, ("self_attn",)),
        ("decoder", config.num_decoder_layers, ("self_attn", "cross_attn")),
    ):
        for index in range(layers):
            yield from _layer(f"{stack}_layers.{index}", attentions, config)
        if config.final_norm:
            yield from _norm(f"{stack}_norm", width)
    if not config.tied_projection:
        yield "projection.weight", (config.tgt_vocab_size, width)
    if config.projection_bias:
        yield "projection.bias", (config.tgt_vocab_size,)


def _layer(
    prefix: str, attentions: tuple[str, ...], config: TransformerConfig
) -> Iterator[tuple[str, _Shape]]:
    width, inner = config.d_model, config.d_ff
    for attention in attentions:
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{prefix}.{attention}.{part}.weight", (width, width)
            if config.attention_bias:
                yield f"{prefix}.{attention}.{part}.bias", (width,)
        yield from _norm(f"{prefix}.{attention}_residual.norm", width)
    yield f"{prefix}.feed_forward.inner.weight", (inner, width)
    yield f"{prefix}.feed_forward.inner.bias", (inner,)
    yield f"{prefix}.feed_forward.outer.weight", (width, inner)
    yield f"{prefix}.feed_forward.outer.bias", (width,)
    yield from _norm(f"{prefix}.feed_forward_residual.norm", width)


def _norm(prefix: str, width: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{prefix}.weight", (width,)
    yield f"{prefix}.bias", (width,)
