"""A Transformer's weights under the names that model.h knows them by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.config import PositionKind
from model.network.positions import sinusoidal_positions
from model.network.weights import Floats, Weights

__all__ = ["embedding_tables", "linears", "norms"]


def linears(weights: Weights) -> Iterator[tuple[str, Floats, Floats | None]]:
    """Name, weight (N, K) and bias (N,); those that read the same input become one."""
    config = weights.config
    for index in range(config.num_encoder_layers):
        at, of = f"encoder.{index}.", f"encoder_layers.{index}."
        yield from _self_attention(weights, at, of)
        yield from _feed_forward(weights, at, of)
    keys_values, biased = [], config.attention_bias
    for index in range(config.num_decoder_layers):
        at, of = f"decoder.{index}.", f"decoder_layers.{index}."
        yield from _self_attention(weights, at, of)
        cross = of + "cross_attn."
        yield at + "cross_query", *_fused(weights, [cross + "q_proj"], biased=biased)
        yield at + "cross_out", *_fused(weights, [cross + "out_proj"], biased=biased)
        yield from _feed_forward(weights, at, of)
        keys_values += [cross + "k_proj", cross + "v_proj"]
    yield "cross_keys_values", *_fused(weights, keys_values, biased=biased)
    tied = config.tied_projection
    projection = weights.array(_target_tokens(weights) if tied else "projection.weight")
    yield "projection", projection, _projection_bias(weights)


def norms(weights: Weights) -> Iterator[tuple[str, Floats, Floats]]:
    """Name, gain (D,) and bias (D,)."""
    for name, norm in _norms(weights):
        yield name, weights.array(f"{norm}.weight"), weights.array(f"{norm}.bias")


def embedding_tables(weights: Weights) -> tuple[Floats, Floats, Floats, Floats]:
    """Source tokens (V, D) and positions (max_positions, D), then those of the target.

    What both have in common is one array.
    """
    config = weights.config
    source = weights.array("src_embedding.tokens.weight")
    target = source if config.shared_embeddings else weights.array(_target_tokens(weights))
    if config.positions is PositionKind.LEARNED:
        positions = [weights.array(f"{side}_embedding.positions") for side in ("src", "tgt")]
    else:
        rows = config.max_positions + config.position_offset
        table = sinusoidal_positions(rows, config.d_model, config.positions)
        positions = [table, table]
    of_source, of_target = (table[config.position_offset :] for table in positions)
    return source, of_source, target, of_target


def _self_attention(
    weights: Weights, at: str, of: str
) -> Iterator[tuple[str, Floats, Floats | None]]:
    of, biased = of + "self_attn.", weights.config.attention_bias
    inputs = [of + part for part in ("q_proj", "k_proj", "v_proj")]
    yield at + "self_qkv", *_fused(weights, inputs, biased=biased)
    yield at + "self_out", *_fused(weights, [of + "out_proj"], biased=biased)


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
        yield at + "self_norm", of + "self_attn_residual.norm"
        yield at + "cross_norm", of + "cross_attn_residual.norm"
        yield at + "feed_forward_norm", of + "feed_forward_residual.norm"
    if config.final_norm:
        yield from (("encoder_norm", "encoder_norm"), ("decoder_norm", "decoder_norm"))
    if config.embedding_norm:
        yield "source_embedding_norm", "src_embedding.norm"
        yield "target_embedding_norm", "tgt_embedding.norm"


def _target_tokens(weights: Weights) -> str:
    """The name of the target's token embeddings, under which shared ones are stored once."""
    return f"{'src' if weights.config.shared_embeddings else 'tgt'}_embedding.tokens.weight"


def _projection_bias(weights: Weights) -> Floats | None:
    return weights.array("projection.bias") if weights.config.projection_bias else None
