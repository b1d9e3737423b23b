"""Where each weight of a Transformer is in a Marian model: the table of names.

Marian's matrices have inputs before outputs, its vectors are rows. Marian's decoder starts from a
vector of zeros, ours from a token. So a row of zeros follows the embeddings of the target, and the
bias of the logits says that its token, like others that are banned, is never predicted.

A pre-norm decoder with self-attention is here what it was trained as. Marian itself (1.12) leaves
out the norms of keys and values when it decodes with one, from the second step on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from model.checkpoints.importers.marian_options import POSITIONS, MarianOptions
from model.checkpoints.importers.tensors import Taken, made, matrix, same, vector
from model.config import DecoderKind, NormOrder, PositionKind, TransformerConfig
from model.network.weights import Floats

__all__ = ["BANNED", "ignored_tensors", "weight_table"]

BANNED = -1e9
"""The bias of a token that is never predicted."""

_Table = Iterator[tuple[str, Taken]]


def ignored_tensors(names: Collection[str]) -> list[str]:
    """Those that are no weights: the scales of activations that were measured for int8."""
    return [name for name in names if name.endswith("_QuantMultA")]


def weight_table(
    config: TransformerConfig,
    options: MarianOptions,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    banned: Collection[int] = (),
) -> dict[str, Taken]:
    """Maps each weight of a model of shape `config` to its source.

    Args:
        options: of the source.
        shapes: of the source's tensors: the names of some are not the same in all versions.
        banned: target ids that are never predicted.
    """
    return dict(
        (
            *_embeddings(config, options),
            *_layers(config),
            *_projection(config, options, shapes, banned),
        )
    )


def _embeddings(config: TransformerConfig, options: MarianOptions) -> _Table:
    width = config.d_model
    target_rows = config.tgt_vocab_size - 1
    if options.tied_source:
        yield "src_embedding.tokens.weight", _with_zero_row("Wemb", target_rows, width)
    else:
        name = "encoder_Wemb"
        yield "src_embedding.tokens.weight", same(name, config.src_vocab_size, width)
        name = "decoder_Wemb"
        yield "tgt_embedding.tokens.weight", _with_zero_row(name, target_rows, width)
    for ours, theirs in (("src", "encoder"), ("tgt", "decoder")):
        if config.positions is PositionKind.LEARNED:
            yield f"{ours}_embedding.positions", same(POSITIONS, config.max_positions, width)
        if config.embedding_norm:
            yield from _norm(f"{ours}_embedding.norm", f"{theirs}_emb", width, "_pre")


def _layers(config: TransformerConfig) -> _Table:
    before = "_pre" if config.norm_order is NormOrder.PRE else ""
    width = config.d_model
    for stack, layers in (
        ("encoder", config.num_encoder_layers), ("decoder", config.num_decoder_layers)
    ):  # fmt: skip
        for index in range(layers):
            ours, theirs = f"{stack}_layers.{index}", f"{stack}_l{index + 1}"
            if stack == "encoder":
                yield from _attention(f"{ours}.self_attn", f"{theirs}_self", width, before)
            else:
                yield from _PASTS[config.decoder_kind](ours, theirs, config, before)
                yield from _attention(f"{ours}.cross_attn", f"{theirs}_context", width, before)
            yield from _linear(
                f"{ours}.feed_forward.inner", f"{theirs}_ffn", "1", width, config.d_ff
            )
            yield from _linear(
                f"{ours}.feed_forward.outer", f"{theirs}_ffn", "2", config.d_ff, width
            )
            yield from _norm(
                f"{ours}.feed_forward_residual.norm", f"{theirs}_ffn_ffn", width, before
            )
        if config.final_norm:
            yield from _norm(f"{stack}_norm", f"{stack}_top", width, "")


def _attention(ours: str, theirs: str, width: int, before: str) -> _Table:
    for letter in "qkvo":
        part = "out_proj" if letter == "o" else f"{letter}_proj"
        yield from _linear(f"{ours}.{part}", theirs, letter, width, width)
    yield from _norm(f"{ours}_residual.norm", f"{theirs}_Wo", width, before)


def _self_attention(ours: str, theirs: str, config: TransformerConfig, before: str) -> _Table:
    yield from _attention(f"{ours}.self_attn", f"{theirs}_self", config.d_model, before)


def _ssru(ours: str, theirs: str, config: TransformerConfig, before: str) -> _Table:
    width = config.d_model
    norm = "rnn" if before else "rnn_ffn"
    yield f"{ours}.ssru.input.weight", matrix(f"{theirs}_rnn_W", width, width)
    yield from _linear(f"{ours}.ssru.forget", f"{theirs}_rnn", "f", width, width)
    yield from _norm(f"{ours}.ssru_residual.norm", f"{theirs}_{norm}", width, before)


def _average_attention(ours: str, theirs: str, config: TransformerConfig, before: str) -> _Table:
    width, inner = config.d_model, config.d_average
    layers = [("input_gate", "i", width, width), ("forget_gate", "f", width, width)]
    if inner:
        layers += [("inner", "1", width, inner), ("outer", "2", inner, width)]
    for part, letter, inputs, outputs in layers:
        yield from _linear(f"{ours}.average_attn.{part}", f"{theirs}_aan", letter, inputs, outputs)
    yield from _norm(f"{ours}.average_attn_residual.norm", f"{theirs}_aan_ffn", width, before)


_PASTS = {
    DecoderKind.ATTENTION: _self_attention,
    DecoderKind.SSRU: _ssru,
    DecoderKind.AVERAGE_ATTENTION: _average_attention,
}


def _projection(
    config: TransformerConfig,
    options: MarianOptions,
    shapes: Mapping[str, tuple[int, ...]],
    banned: Collection[int],
) -> _Table:
    width, size = config.d_model, config.tgt_vocab_size
    if not config.tied_projection:
        by_inputs = "decoder_ff_logit_out_W"  # in older versions
        if by_inputs in shapes:
            taken = Taken(
                name=by_inputs,
                shape=(width, size - 1),
                convert=lambda array: _and_zeros(array.T),
            )
        else:
            taken = _with_zero_row("decoder_ff_logit_out_Wt", size - 1, width)
        yield "projection.weight", taken
    never = [*banned, size - 1]

    def bias(array: Floats) -> Floats:
        complete = np.append(array[0], np.float32(0))
        complete[never] = BANNED
        return complete

    if options.output_bias:
        name = "decoder_ff_logit_out_b"
        yield "projection.bias", Taken(name=name, shape=(1, size - 1), convert=bias)
    else:
        yield "projection.bias", made(bias(np.zeros((1, size - 1), np.float32)))


def _linear(ours: str, prefix: str, suffix: str, inputs: int, outputs: int) -> _Table:
    yield f"{ours}.weight", matrix(f"{prefix}_W{suffix}", inputs, outputs)
    yield f"{ours}.bias", vector(f"{prefix}_b{suffix}", outputs)


def _norm(ours: str, prefix: str, width: int, before: str) -> _Table:
    yield f"{ours}.weight", vector(f"{prefix}_ln_scale{before}", width)
    yield f"{ours}.bias", vector(f"{prefix}_ln_bias{before}", width)


def _with_zero_row(name: str, rows: int, width: int) -> Taken:
    return Taken(name=name, shape=(rows, width), convert=_and_zeros)


def _and_zeros(array: Floats) -> Floats:
    return np.append(array, np.zeros((1, array.shape[1]), np.float32), axis=0)
