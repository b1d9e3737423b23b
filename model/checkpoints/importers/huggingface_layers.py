"""Where the weights of layers are in models of transformers' BART family: their table of names.

Its matrices are ours, outputs before inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from model.checkpoints.importers.tensors import Taken, made, same
from model.config import TransformerConfig
from model.network.weights import Floats

__all__ = ["BANNED", "embedding_names", "final_norms", "ignored_tensors", "layers", "made_bias"]

BANNED = -1e9
"""The bias of a token that is never predicted."""

_SHARED = (
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
)
"""Names of one embedding matrix; which of them a file has depends on who wrote it. The last is the
least trusted: some models have noise there."""
_COMPUTED = (
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
    "model.encoder.embed_positions.weights",
    "model.decoder.embed_positions.weights",
    "model.encoder.version",
    "model.decoder.version",
)
"""Positions that have formulas, and marks of versions."""

_Table = Iterator[tuple[str, Taken]]


def embedding_names(config: TransformerConfig, names: Collection[str]) -> dict[str, str]:
    """The name of each embedding matrix of ours in the source."""
    shared, source, target, _ = _SHARED
    if config.shared_embeddings:
        found = next((name for name in _SHARED if name in names), shared)
        return {"src_embedding.tokens.weight": found}
    return {"src_embedding.tokens.weight": source, "tgt_embedding.tokens.weight": target}


def ignored_tensors(config: TransformerConfig) -> set[str]:
    """Those that are computed here, and other names of matrices that are taken."""
    tied = set(_SHARED) if config.tied_projection else set(_SHARED[:3])
    return {*_COMPUTED, *tied}


def layers(config: TransformerConfig) -> _Table:
    """The table of both stacks' weights."""
    width = config.d_model
    for stack, count in (
        ("encoder", config.num_encoder_layers), ("decoder", config.num_decoder_layers)
    ):  # fmt: skip
        for index in range(count):
            ours, theirs = f"{stack}_layers.{index}", f"model.{stack}.layers.{index}"
            yield from _attention(f"{ours}.self_attn", f"{theirs}.self_attn", width)
            if stack == "decoder":
                yield from _attention(f"{ours}.cross_attn", f"{theirs}.encoder_attn", width)
            yield from _linear(f"{ours}.feed_forward.inner", f"{theirs}.fc1", config.d_ff, width)
            yield from _linear(f"{ours}.feed_forward.outer", f"{theirs}.fc2", width, config.d_ff)
            yield from _norm(
                f"{ours}.feed_forward_residual.norm", f"{theirs}.final_layer_norm", width
            )


def final_norms(config: TransformerConfig) -> _Table:
    """At the end of both stacks."""
    for stack in ("encoder", "decoder"):
        yield from _norm(f"{stack}_norm", f"model.{stack}.layer_norm", config.d_model)


def made_bias(size: int, banned: Collection[int]) -> Mapping[str, Taken]:
    """A bias that does nothing but ban tokens; nothing if there are none to ban."""
    if not banned:
        return {}
    bias: Floats = np.zeros(size, np.float32)
    bias[[*banned]] = BANNED
    return {"projection.bias": made(bias)}


def _attention(ours: str, theirs: str, width: int) -> _Table:
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        yield from _linear(f"{ours}.{part}", f"{theirs}.{part}", width, width)
    yield from _norm(f"{ours}_residual.norm", f"{theirs}_layer_norm", width)


def _linear(ours: str, theirs: str, outputs: int, inputs: int) -> _Table:
    yield f"{ours}.weight", same(f"{theirs}.weight", outputs, inputs)
    yield f"{ours}.bias", same(f"{theirs}.bias", outputs)


def _norm(ours: str, theirs: str, width: int) -> _Table:
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", same(f"{theirs}.{part}", width)
