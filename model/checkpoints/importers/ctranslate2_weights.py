"""Where each weight of a Transformer is in a CTranslate2 model: the table of names.

Its matrices are ours, outputs before inputs. Queries, keys and values are one matrix where they
have the same input. Rows of embeddings follow its vocabularies, which need not be ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from model.checkpoints.importers.ctranslate2_options import STACKS, Ctranslate2Options
from model.checkpoints.importers.ctranslate2_vocabulary import Names, Rows
from model.checkpoints.importers.huggingface_layers import BANNED
from model.checkpoints.importers.tensors import Taken, made, same
from model.config import PositionKind, TransformerConfig
from model.network.weights import Floats

__all__ = ["ignored_tensors", "weight_table"]

_Table = Iterator[tuple[str, Taken]]
_Shapes = Mapping[str, tuple[int, ...]]
_TEXTS = ("unk_token", "bos_token", "eos_token", "decoder/alignment_heads")
"""Tensors that are no weights, in versions before 6."""


def ignored_tensors(config: TransformerConfig, options: Ctranslate2Options) -> set[str]:
    """Those that are no weights, are formulas here, or are the same as others."""
    ignored = {*_TEXTS}
    if config.positions is not PositionKind.LEARNED:
        ignored |= {f"{stack}/position_encodings/encodings" for stack in STACKS}
    if config.shared_embeddings:
        ignored.add(options.target_embedding)
    if config.tied_projection:
        ignored.add("decoder/projection/weight")
    return ignored


def weight_table(
    config: TransformerConfig,
    options: Ctranslate2Options,
    shapes: _Shapes,
    names: Names,
) -> dict[str, Taken]:
    """Maps each weight of a model of shape `config` to its source.

    Args:
        options: of the source.
        shapes: of the source's tensors: some may have no biases.
        names: of the tokens, which say how rows become ours.
    """
    return dict(
        (
            *_embeddings(config, options, shapes, names),
            *_layers(config, shapes),
            *_projection(config, shapes, names),
        )
    )


def _embeddings(
    config: TransformerConfig,
    options: Ctranslate2Options,
    shapes: _Shapes,
    names: Names,
) -> _Table:
    width = config.d_model
    name = options.source_embedding
    yield "src_embedding.tokens.weight", _rows(name, names.source_rows, width)
    if not config.shared_embeddings:
        name = options.target_embedding
        yield "tgt_embedding.tokens.weight", _rows(name, names.target_rows, width)
    for ours, theirs in zip(("src", "tgt"), STACKS, strict=True):
        if config.positions is PositionKind.LEARNED:
            name = f"{theirs}/position_encodings/encodings"
            taken = _part(name, shapes.get(name, ()), 0, config.max_positions)
            yield f"{ours}_embedding.positions", taken
        if config.embedding_norm:
            yield from _norm(f"{ours}_embedding.norm", f"{theirs}/layernorm_embedding", width)


def _layers(config: TransformerConfig, shapes: _Shapes) -> _Table:
    width = config.d_model
    for stack, count in zip(
        STACKS, (config.num_encoder_layers, config.num_decoder_layers), strict=True
    ):
        for index in range(count):
            ours, theirs = f"{stack}_layers.{index}", f"{stack}/layer_{index}"
            yield from _attention(f"{ours}.self_attn", f"{theirs}/self_attention", config, "qkv")
            if stack == "decoder":
                yield from _attention(f"{ours}.cross_attn", f"{theirs}/attention", config, "q|kv")
            for place, (part, outputs, inputs) in enumerate(
                (("inner", config.d_ff, width), ("outer", width, config.d_ff))
            ):
                name = f"{theirs}/ffn/linear_{place}"
                yield f"{ours}.feed_forward.{part}.weight", same(f"{name}/weight", outputs, inputs)
                yield f"{ours}.feed_forward.{part}.bias", _bias(f"{name}/bias", outputs, shapes)
            yield from _norm(
                f"{ours}.feed_forward_residual.norm", f"{theirs}/ffn/layer_norm", width
            )
        if config.final_norm:
            yield from _norm(f"{stack}_norm", f"{stack}/layer_norm", width)


def _attention(ours: str, theirs: str, config: TransformerConfig, groups: str) -> _Table:
    width = config.d_model
    for place, group in enumerate((*groups.split("|"), "o")):
        rows = len(group) * width
        for part, letter in enumerate(group):
            name = "out_proj" if letter == "o" else f"{letter}_proj"
            linear = f"{theirs}/linear_{place}"
            begin, end = part * width, (part + 1) * width
            yield f"{ours}.{name}.weight", _part(f"{linear}/weight", (rows, width), begin, end)
            if config.attention_bias:
                yield f"{ours}.{name}.bias", _part(f"{linear}/bias", (rows,), begin, end)
    yield from _norm(f"{ours}_residual.norm", f"{theirs}/layer_norm", width)


def _projection(config: TransformerConfig, shapes: _Shapes, names: Names) -> _Table:
    target = names.target_rows
    if not config.tied_projection:
        yield "projection.weight", _rows("decoder/projection/weight", target, config.d_model)
    if not config.projection_bias:
        return
    name = "decoder/projection/bias"

    def bias(array: Floats) -> Floats:
        complete = target.of(array if array.size else np.zeros(target.stored, np.float32))
        complete[names.added] = BANNED
        return complete

    if name in shapes:
        yield "projection.bias", Taken(name=name, shape=(target.stored,), convert=bias)
    else:
        yield "projection.bias", made(bias(np.zeros(0, np.float32)))


def _rows(name: str, rows: Rows, width: int) -> Taken:
    return Taken(name=name, shape=(rows.stored, width), convert=rows.of)


def _part(name: str, shape: tuple[int, ...], begin: int, end: int) -> Taken:
    return Taken(name=name, shape=shape, convert=lambda array: array[begin:end])


def _bias(name: str, width: int, names: Collection[str]) -> Taken:
    return same(name, width) if name in names else made(np.zeros(width, np.float32))


def _norm(ours: str, theirs: str, width: int) -> _Table:
    for part, name in (("weight", "gamma"), ("bias", "beta")):
        yield f"{ours}.{part}", same(f"{theirs}/{name}", width)
