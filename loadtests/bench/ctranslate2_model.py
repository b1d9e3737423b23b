"""A model of ours as CTranslate2 reads it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ctranslate2.specs import (  # type: ignore[import-untyped]
    common_spec,
    transformer_spec,
)
from torch import Tensor, nn

from loadtests.bench.contender import BenchError
from model.config import Activation, DecoderKind, NormOrder, TransformerConfig
from model.network.attention import fuse_linears
from model.network.transformer import Embedding, Transformer

__all__ = ["write_ctranslate2_model"]

_ACTIVATIONS = {
    Activation.RELU: common_spec.Activation.RELU,
    Activation.GELU: common_spec.Activation.GELU,
    Activation.GELU_TANH: common_spec.Activation.GELUTanh,
    Activation.GELU_SIGMOID: common_spec.Activation.GELUSigmoid,
    Activation.SILU: common_spec.Activation.SWISH,
}


def write_ctranslate2_model(model: Transformer, directory: Path, quantization: str) -> None:
    """Writes `model` into an existing, empty directory.

    Its tokens are the decimal numbers of our token ids.

    Args:
        quantization: how weights are stored, in CTranslate2's words: "int8", "float32", ...

    Raises:
        BenchError: CTranslate2 has no such model.
    """
    config = model.config
    pre_norm = config.norm_order is NormOrder.PRE
    if config.final_norm and not pre_norm:
        raise BenchError("CTranslate2 has no post-norm models with a final layer normalisation")
    if config.decoder_kind is not DecoderKind.ATTENTION:
        raise BenchError("CTranslate2 has no decoders without self-attention")
    spec = transformer_spec.TransformerSpec.from_config(
        (config.num_encoder_layers, config.num_decoder_layers),
        config.num_heads,
        pre_norm=pre_norm,
        no_final_norm=not config.final_norm,
        activation=_ACTIVATIONS[config.activation],
        layernorm_embedding=config.embedding_norm,
    )
    _set_stack(spec.encoder, spec.encoder.embeddings[0], model.src_embedding, model.encoder_norm)
    _set_stack(spec.decoder, spec.decoder.embeddings, model.tgt_embedding, model.decoder_norm)
    for target, layer in zip(spec.encoder.layer, model.encoder_layers, strict=True):
        _set_common(target, layer)
    for target, layer in zip(spec.decoder.layer, model.decoder_layers, strict=True):
        _set_common(target, layer)
        _set_attention(target.attention, layer.cross_attn, layer.cross_attn_residual)
    _set_linear(spec.decoder.projection, model.projection)
    _set_vocabulary(spec, config)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))


def _set_stack(stack: Any, embeddings: Any, embedding: Embedding, norm: nn.Module) -> None:
    stack.scale_embeddings = not math.isclose(embedding.scale, 1.0)
    embeddings.weight = _copy(embedding.tokens.weight)
    stack.position_encodings.encodings = _copy(embedding.positions[embedding.position_offset :])
    if embedding.norm is not None:
        _set_norm(stack.layernorm_embedding, embedding.norm)
    if isinstance(norm, nn.LayerNorm):
        _set_norm(stack.layer_norm, norm)


def _set_common(target: Any, layer: Any) -> None:
    """What layers of both stacks have."""
    _set_attention(target.self_attention, layer.self_attn, layer.self_attn_residual, fused=True)
    _set_norm(target.ffn.layer_norm, layer.feed_forward_residual.norm)
    _set_linear(target.ffn.linear_0, layer.feed_forward.inner)
    _set_linear(target.ffn.linear_1, layer.feed_forward.outer)


def _set_attention(target: Any, attention: Any, residual: Any, *, fused: bool = False) -> None:
    """Self-attention's three projections are one product there, cross-attention's last two are."""
    _set_norm(target.layer_norm, residual.norm)
    query, key, value = attention.q_proj, attention.k_proj, attention.v_proj
    groups = [[query, key, value]] if fused else [[query], [key, value]]
    for linear, group in zip(target.linear, [*groups, [attention.out_proj]], strict=True):
        _set_linear(linear, *group)


def _set_linear(target: Any, *linears: nn.Linear) -> None:
    weight, bias = fuse_linears(linears)
    target.weight = _copy(weight)
    if bias is not None:
        target.bias = _copy(bias)


def _set_norm(target: Any, norm: nn.LayerNorm) -> None:
    target.gamma = _copy(norm.weight)
    target.beta = _copy(norm.bias)


def _copy(weight: Tensor) -> Tensor:
    """Their quantisation works in place."""
    return weight.detach().clone()


def _set_vocabulary(spec: Any, config: TransformerConfig) -> None:
    spec.register_source_vocabulary([str(token) for token in range(config.src_vocab_size)])
    spec.register_target_vocabulary([str(token) for token in range(config.tgt_vocab_size)])
    spec.config.unk_token = str(config.unk_id)
    spec.config.bos_token = spec.config.decoder_start_token = str(config.bos_id)
    spec.config.eos_token = str(config.eos_id)
    spec.config.layer_norm_epsilon = config.layer_norm_eps
