"""A Transformer's weights under the names that model.h knows them by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.network.attention import fuse_linears
from model.network.transformer import Embedding

__all__ = ["Floats", "embedding_tables", "linears", "norms"]

Floats = NDArray[np.float32]


def linears(model: Any) -> Iterator[tuple[str, Floats, Floats | None]]:
    """Name, weight (N, K) and bias (N,); those that read the same input become one."""
    for index, layer in enumerate(model.encoder_layers):
        at = f"encoder.{index}."
        attn = layer.self_attn
        yield at + "self_qkv", *_fused(attn.input_projections)
        yield at + "self_out", *_fused([attn.out_proj])
        yield at + "inner", *_fused([layer.feed_forward.inner])
        yield at + "outer", *_fused([layer.feed_forward.outer])
    for index, layer in enumerate(model.decoder_layers):
        at = f"decoder.{index}."
        attn = layer.self_attn
        yield at + "self_qkv", *_fused(attn.input_projections)
        yield at + "self_out", *_fused([attn.out_proj])
        yield at + "cross_query", *_fused([layer.cross_attn.q_proj])
        yield at + "cross_out", *_fused([layer.cross_attn.out_proj])
        yield at + "inner", *_fused([layer.feed_forward.inner])
        yield at + "outer", *_fused([layer.feed_forward.outer])
    yield "cross_keys_values", *_fused(model.cross_input_projections)
    yield "projection", *_fused([model.projection])


def norms(model: Any) -> Iterator[tuple[str, Floats, Floats]]:
    """Name, gain (D,) and bias (D,)."""
    for name, norm in _norms(model):
        yield name, _array(norm.weight), _array(norm.bias)


def embedding_tables(embedding: Embedding) -> tuple[Floats, Floats]:
    """Tokens (V, D) and positions (max_positions, D)."""
    tokens, positions = _array(embedding.tokens.weight), _array(embedding.positions)
    return tokens, positions[embedding.position_offset :]


def _fused(linears: Sequence[nn.Linear]) -> tuple[Floats, Floats | None]:
    weight, bias = fuse_linears(linears)
    return _array(weight), None if bias is None else _array(bias)


def _norms(model: Any) -> Iterator[tuple[str, nn.LayerNorm]]:
    for index, layer in enumerate(model.encoder_layers):
        yield f"encoder.{index}.self_norm", layer.self_attn_residual.norm
        yield f"encoder.{index}.feed_forward_norm", layer.feed_forward_residual.norm
    for index, layer in enumerate(model.decoder_layers):
        yield f"decoder.{index}.self_norm", layer.self_attn_residual.norm
        yield f"decoder.{index}.cross_norm", layer.cross_attn_residual.norm
        yield f"decoder.{index}.feed_forward_norm", layer.feed_forward_residual.norm
    optional = {
        "encoder_norm": model.encoder_norm,
        "decoder_norm": model.decoder_norm,
        "source_embedding_norm": model.src_embedding.norm,
        "target_embedding_norm": model.tgt_embedding.norm,
    }
    yield from ((name, norm) for name, norm in optional.items() if isinstance(norm, nn.LayerNorm))


def _array(tensor: Tensor) -> Floats:
    """Shares the memory of a float32 tensor on the CPU, and keeps it alive."""
    array: Floats = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return array
