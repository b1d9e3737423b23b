"""A Transformer's weights under the names that model.h knows them by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.config import DecoderKind, PositionKind
from model.network.positions import sinusoidal_positions
from model.network.weights import Floats, Weights

__all__ = ["linears", "norms", "position_tables"]


def linears(weights: Weights) -> Iterator[tuple[str, Floats, Floats | None]]:
    """Name, weight (N, K) and bias (N,); those that read the same input become one.

    The largest, those of the vocabularies, come first: before all else is in memory, too.
    """
    config = weights.config
    yield from _vocabularies(weights)
    for index in range(config.num_encoder_layers):
        at, of = f"encoder.{index}.", f"encoder_layers.{index}."
        yield from _self_attention(weights, at, of)
        yield from _feed_forward(weights, at, of)
    keys_values, biased = [], config.attention_bias
    for index in range(config.num_decoder_layers):
        at, of = f"decoder.{index}.", f"decoder_layers.{index}."
        yield from _PASTS[config.decoder_kind](weights, at, of)
        cross = of + "cross_attn."
        yield at + "cross_query", *_fused(weights, [cross + "q_proj"], biased=biased)
        yield at + "cross_out", *_fused(weights, [cross + "out_proj"], biased=biased)
        yield from _feed_forward(weights, at, of)
        keys_values += [cross + "k_proj", cross + "v_proj"]
    yield "cross_keys_values", *_fused(weights, keys_values, biased=biased)


def norms(weights: Weights) -> Iterator[tuple[str, Floats, Floats]]:
    """Name, gain (D,) and bias (D,)."""
    for name, norm in _norms(weights):
        yield name, weights.array(f"{norm}.weight"), weights.array(f"{norm}.bias")


def position_tables(weights: Weights) -> tuple[Floats, Floats]:
    """Source's and target's tables, (max_positions, D) each; one array where they are equal."""
    config = weights.config
    if config.positions is PositionKind.LEARNED:
        positions = [weights.array(f"{side}_embedding.positions") for side in ("src", "tgt")]
    else:
        rows = config.max_positions + config.position_offset
        table = sinusoidal_positions(rows, config.d_model, config.positions)
        positions = [table, table]
    of_source, of_target = (table[config.position_offset :] for table in positions)
    return of_source, of_target


def _self_attention(
    weights: Weights, at: str, of: str
) -> Iterator[tuple[str, Floats, Floats | None]]:
    of, biased = of + "self_attn.", weights.config.attention_bias
    inputs = [of + part for part in ("q_proj", "k_proj", "v_proj")]
    yield at + "self_qkv", *_fused(weights, inputs, biased=biased)
    yield at + "self_out", *_fused(weights, [of + "out_proj"], biased=biased)


def _ssru(weights: Weights, at: str, of: str) -> Iterator[tuple[str, Floats, Floats | None]]:
    of += "ssru."
    weight = _joined(weights, [f"{of}input.weight", f"{of}forget.weight"])
    bias = weights.array(f"{of}forget.bias")
    yield at + "ssru", weight, np.concatenate([np.zeros_like(bias), bias])


def _average_attention(
    weights: Weights, at: str, of: str
) -> Iterator[tuple[str, Floats, Floats | None]]:
    of += "average_attn."
    if weights.config.d_average:
        yield at + "average_inner", *_fused(weights, [of + "inner"], biased=True)
        yield at + "average_outer", *_fused(weights, [of + "outer"], biased=True)
    for gate in ("input_gate", "forget_gate"):
        yield at + gate, *_fused(weights, [of + gate], biased=True)


_PASTS = {
    DecoderKind.ATTENTION: _self_attention,
    DecoderKind.SSRU: _ssru,
    DecoderKind.AVERAGE_ATTENTION: _average_attention,
}
_PAST_NORMS = {
    DecoderKind.ATTENTION: "self_attn_residual.norm",
    DecoderKind.SSRU: "ssru_residual.norm",
    DecoderKind.AVERAGE_ATTENTION: "average_attn_residual.norm",
}


def _vocabularies(weights: Weights) -> Iterator[tuple[str, Floats, Floats | None]]:
    """The projection, and the token embeddings that are not the same matrix."""
    config = weights.config
    target = f"{'src' if config.shared_embeddings else 'tgt'}_embedding.tokens.weight"
    bias = weights.array("projection.bias") if config.projection_bias else None
    yield (
        "projection",
        weights.array(target if config.tied_projection else "projection.weight"),
        bias,
    )
    if not config.tied_projection:
        yield "target_tokens", weights.array(target), None
    if not config.shared_embeddings:
        yield "source_tokens", weights.array("src_embedding.tokens.weight"), None


def _feed_forward(
    weights: Weights, at: str, of: str
) -> Iterator[tuple[str, Floats, Floats | None]]:
    for part in ("inner", "outer"):
        yield at + part, *_fused(weights, [f"{of}feed_forward.{part}"], biased=True)


def _fused(
    weights: Weights, linears: Sequence[str], *, biased: bool
) -> tuple[Floats, Floats | None]:
    """Weight and bias of the one layer that does what several layers of the same input do."""
    weight = _joined(weights, [f"{linear}.weight" for linear in linears])
    return weight, _joined(weights, [f"{linear}.bias" for linear in linears]) if biased else None


def _joined(weights: Weights, names: Sequence[str]) -> Floats:
    arrays = [weights.array(name) for name in names]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _norms(weights: Weights) -> Iterator[tuple[str, str]]:
    """Names in model.h and of the layer."""
    config = weights.config
    for index in range(config.num_encoder_layers):
        at, of = f"encoder.{index}.", f"encoder_layers.{index}."
        yield at + "self_norm", of + "self_attn_residual.norm"
        yield at + "feed_forward_norm", of + "feed_forward_residual.norm"
    for index in range(config.num_decoder_layers):
        at, of = f"decoder.{index}.", f"decoder_layers.{index}."
        yield at + "past_norm", of + _PAST_NORMS[config.decoder_kind]
        yield at + "cross_norm", of + "cross_attn_residual.norm"
        yield at + "feed_forward_norm", of + "feed_forward_residual.norm"
    if config.final_norm:
        yield from (("encoder_norm", "encoder_norm"), ("decoder_norm", "decoder_norm"))
    if config.embedding_norm:
        yield "source_embedding_norm", "src_embedding.norm"
        yield "target_embedding_norm", "tgt_embedding.norm"
