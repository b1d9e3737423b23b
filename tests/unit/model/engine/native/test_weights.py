"""The compiled engine's weights, read without torch, are those of the model in PyTorch."""

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model.checkpoints.weights import StoredWeights, check_weights
from model.engine.native.binding import NativeModel
from model.engine.native.weights import linears, norms, position_tables
from model.network.attention import fuse_linears
from model.network.transformer import Transformer
from model.network.weights import Weights
from tests.tiny_model import tiny_transformer

_SHAPES: dict[str, Mapping[str, Any]] = {
    "plain": {},
    "norms-and-biases": {"final_norm": True, "embedding_norm": True, "projection_bias": True},
    "post-norm": {"norm_order": "post", "final_norm": False},
    "learned": {"positions": "learned", "position_offset": 2, "attention_bias": False},
    "offset": {"position_offset": 2, "positions": "sinusoidal_halves"},
    "apart": {"shared_embeddings": False, "tgt_vocab_size": 300, "num_encoder_layers": 3},
    "untied": {"tied_projection": False, "num_decoder_layers": 1},
    "ssru": {"decoder_kind": "ssru"},
    "average": {"decoder_kind": "average_attention"},
    "average-network": {"decoder_kind": "average_attention", "d_average": 48},
    "all-apart": {"shared_embeddings": False, "tied_projection": False, "tgt_vocab_size": 300},
}


def stored(directory: Path, made: Transformer, dtype: torch.dtype) -> StoredWeights:
    """The model's weights, written as `dtype`, and checked."""
    shards = ["model.safetensors"]
    tensors = {name: weight.detach().to(dtype) for name, weight in made.named_parameters()}
    save_file(tensors, directory / shards[0])
    check_weights(directory, shards, made.config)
    return StoredWeights(directory, shards, made.config)


def arrays(weights: Weights) -> dict[str, Any]:
    """All that the engine is given."""
    given: dict[str, Any] = {}
    for name, *pair in [*linears(weights), *norms(weights)]:
        given[name + ".weight"], given[name + ".bias"] = pair
    tables = position_tables(weights)
    given |= {f"positions {number}": table for number, table in enumerate(tables)}
    return given


def expected(made: Any) -> dict[str, Any]:
    """All that the engine must be given, from PyTorch's modules."""
    layers: dict[str, list[nn.Linear]] = {"projection": [made.projection]}
    normed: dict[str, nn.LayerNorm] = {
        "encoder_norm": made.encoder_norm,
        "decoder_norm": made.decoder_norm,
        "source_embedding_norm": made.src_embedding.norm,
        "target_embedding_norm": made.tgt_embedding.norm,
    }
    layers["cross_keys_values"] = made.cross_input_projections
    for stack in ("encoder", "decoder"):
        for index, layer in enumerate(getattr(made, f"{stack}_layers")):
            at = f"{stack}.{index}."
            layers |= self_attention(at, layer)
            layers[at + "inner"] = [layer.feed_forward.inner]
            layers[at + "outer"] = [layer.feed_forward.outer]
            normed[at + ("past_norm" if stack == "decoder" else "self_norm")] = past_norm(layer)
            normed[at + "feed_forward_norm"] = layer.feed_forward_residual.norm
            if stack == "decoder":
                layers[at + "cross_query"] = [layer.cross_attn.q_proj]
                layers[at + "cross_out"] = [layer.cross_attn.out_proj]
                normed[at + "cross_norm"] = layer.cross_attn_residual.norm
    wanted: dict[str, Any] = {}
    for name, parts in layers.items():
        wanted[name + ".weight"], wanted[name + ".bias"] = fuse_linears(parts)
    for name, norm in normed.items():
        if isinstance(norm, nn.LayerNorm):
            wanted[name + ".weight"], wanted[name + ".bias"] = norm.weight, norm.bias
    if not made.config.tied_projection:
        wanted |= {"target_tokens.weight": made.tgt_embedding.tokens.weight}
        wanted |= {"target_tokens.bias": None}
    if not made.config.shared_embeddings:
        wanted |= {"source_tokens.weight": made.src_embedding.tokens.weight}
        wanted |= {"source_tokens.bias": None}
    for number, side in enumerate((made.src_embedding, made.tgt_embedding)):
        wanted[f"positions {number}"] = side.positions[side.position_offset :]
    return wanted


def self_attention(at: str, layer: Any) -> dict[str, list[nn.Linear]]:
    """Or what stands in its place and is one of our layers; of an SSRU two weights become one."""
    if hasattr(layer, "self_attn"):
        attention = layer.self_attn
        return {at + "self_qkv": attention.input_projections, at + "self_out": [attention.out_proj]}
    if hasattr(layer, "ssru"):
        ssru = layer.ssru
        unbiased = nn.Linear(ssru.input.in_features, ssru.input.out_features)
        unbiased.weight = ssru.input.weight
        nn.init.zeros_(unbiased.bias)
        return {at + "ssru": [unbiased, ssru.forget]}
    parts = {
        "average_inner": layer.average_attn.inner,
        "average_outer": layer.average_attn.outer,
        "input_gate": layer.average_attn.input_gate,
        "forget_gate": layer.average_attn.forget_gate,
    }
    return {at + name: [linear] for name, linear in parts.items() if linear is not None}


def past_norm(layer: Any) -> nn.LayerNorm:
    """The norm of a layer's first part."""
    names = ("self_attn_residual", "ssru_residual", "average_attn_residual")
    (found,) = (getattr(layer, name) for name in names if hasattr(layer, name))
    norm: nn.LayerNorm = found.norm
    return norm


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", _SHAPES)
def test_they_are_pytorchs_bit_for_bit(tmp_path: Path, shape: str, dtype: torch.dtype) -> None:
    made = tiny_transformer(seed=3, **_SHAPES[shape])
    weights = stored(tmp_path, made, dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameter.to(dtype))
    wanted = expected(made)
    for given in (arrays(weights), arrays(made), arrays(weights.transformer())):
        assert given.keys() == wanted.keys()
        for name, tensor in wanted.items():
            if tensor is None:
                assert given[name] is None, name
                continue
            array = given[name]
            assert (array.dtype, array.flags.c_contiguous) == (np.float32, True), name
            assert array.tobytes() == tensor.detach().numpy().tobytes(), name


def test_positions_of_source_and_target_are_there_once() -> None:
    source, target = position_tables(tiny_transformer())
    assert source is not target
    assert source.ctypes.data == target.ctypes.data


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_they_are_never_all_in_memory_beside_the_packed_ones(
    tmp_path: Path, precision: str
) -> None:
    made = tiny_transformer(d_model=64, d_ff=512, num_encoder_layers=12, num_decoder_layers=6)
    weights = stored(tmp_path, made, torch.float16)
    whole = 4 * made.num_parameters
    largest = 4 * 64 * 2 * 6 * 64  # float32 of keys and values of all layers
    NativeModel(weights, precision)  # what is imported at the first time does not count
    tracemalloc.start()
    try:
        packed = NativeModel(weights, precision)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    positions = 4 * 64 * 64
    assert positions <= kept < positions + 50_000, packed
    assert peak - kept < 3 * largest < whole / 4
