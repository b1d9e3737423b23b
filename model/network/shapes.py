"""Names and shapes of a Transformer's weights, from its configuration alone: no torch in here.

What a file of weights holds can so be judged before memory is taken for any of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from model.config import DecoderKind, PositionKind, TransformerConfig

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
    for index in range(config.num_encoder_layers):
        prefix = f"encoder_layers.{index}"
        yield from _attention(f"{prefix}.self_attn", config)
        yield from _feed_forward(prefix, config)
    for index in range(config.num_decoder_layers):
        prefix = f"decoder_layers.{index}"
        yield from _PASTS[config.decoder_kind](prefix, config)
        yield from _attention(f"{prefix}.cross_attn", config)
        yield from _feed_forward(prefix, config)
    if config.final_norm:
        yield from _norm("encoder_norm", width)
        yield from _norm("decoder_norm", width)
    if not config.tied_projection:
        yield "projection.weight", (config.tgt_vocab_size, width)
    if config.projection_bias:
        yield "projection.bias", (config.tgt_vocab_size,)


def _attention(prefix: str, config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    width = config.d_model
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        yield f"{prefix}.{part}.weight", (width, width)
        if config.attention_bias:
            yield f"{prefix}.{part}.bias", (width,)
    yield from _norm(f"{prefix}_residual.norm", width)


def _self_attention(prefix: str, config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    yield from _attention(f"{prefix}.self_attn", config)


def _ssru(prefix: str, config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    width = config.d_model
    yield f"{prefix}.ssru.input.weight", (width, width)
    yield from _linear(f"{prefix}.ssru.forget", width, width)
    yield from _norm(f"{prefix}.ssru_residual.norm", width)


def _average_attention(prefix: str, config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    width, inner = config.d_model, config.d_average
    if inner:
        yield from _linear(f"{prefix}.average_attn.inner", inner, width)
        yield from _linear(f"{prefix}.average_attn.outer", width, inner)
    yield from _linear(f"{prefix}.average_attn.input_gate", width, width)
    yield from _linear(f"{prefix}.average_attn.forget_gate", width, width)
    yield from _norm(f"{prefix}.average_attn_residual.norm", width)


_PASTS = {
    DecoderKind.ATTENTION: _self_attention,
    DecoderKind.SSRU: _ssru,
    DecoderKind.AVERAGE_ATTENTION: _average_attention,
}


def _feed_forward(prefix: str, config: TransformerConfig) -> Iterator[tuple[str, _Shape]]:
    yield from _linear(f"{prefix}.feed_forward.inner", config.d_ff, config.d_model)
    yield from _linear(f"{prefix}.feed_forward.outer", config.d_model, config.d_ff)
    yield from _norm(f"{prefix}.feed_forward_residual.norm", config.d_model)


def _linear(prefix: str, outputs: int, inputs: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{prefix}.weight", (outputs, inputs)
    yield f"{prefix}.bias", (outputs,)


def _norm(prefix: str, width: int) -> Iterator[tuple[str, _Shape]]:
    yield f"{prefix}.weight", (width,)
    yield f"{prefix}.bias", (width,)
