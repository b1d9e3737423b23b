"""Our models in the frames of transformers, whose `generate` is an oracle of the search."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    MarianConfig,
    MarianMTModel,
    PegasusConfig,
    PegasusForConditionalGeneration,
)

from model.config import Activation, DecoderKind, NormOrder, TransformerConfig
from model.network.transformer import Embedding, Transformer

__all__ = ["to_transformers"]

_ACTIVATIONS = {
    Activation.GELU_TANH: "gelu_pytorch_tanh",
    Activation.GELU_SIGMOID: "quick_gelu",
}
"""Those that have other names there."""
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_LAYER = {
    **{f"self_attn.{name}": f"self_attn.{name}" for name in _PROJECTIONS},
    "self_attn_layer_norm": "self_attn_residual.norm",
    **{f"encoder_attn.{name}": f"cross_attn.{name}" for name in _PROJECTIONS},
    "encoder_attn_layer_norm": "cross_attn_residual.norm",
    "fc1": "feed_forward.inner",
    "fc2": "feed_forward.outer",
    "final_layer_norm": "feed_forward_residual.norm",
}
"""What a layer's parts are called there and here; only a decoder's has all of them."""


@torch.no_grad()
def to_transformers(model: Transformer) -> MarianMTModel | PegasusForConditionalGeneration:
    """The same layers, hung into Marian's frame for post-norm, into Pegasus' for pre-norm.

    Raises:
        ValueError: neither of the two is such a model.
    """
    config = model.config
    pre_norm = config.norm_order is NormOrder.PRE
    if config.decoder_kind is not DecoderKind.ATTENTION:
        raise ValueError("transformers has no decoders without self-attention")
    if config.final_norm is not pre_norm:
        raise ValueError(
            "transformers' models end with a layer normalisation for pre-norm, and for it alone"
        )
    if config.embedding_norm:
        raise ValueError("transformers' Marian and Pegasus do not normalise embeddings")
    frame: Any
    if pre_norm:
        frame = PegasusForConditionalGeneration(PegasusConfig(**_shape(config)))
        frame.model.encoder.layer_norm = model.encoder_norm
        frame.model.decoder.layer_norm = model.decoder_norm
    else:
        frame = MarianMTModel(MarianConfig(**_shape(config)))
    frame.model.shared = model.src_embedding.tokens
    _hang_stack(frame.model.encoder, model.src_embedding, model.encoder_layers)
    _hang_stack(frame.model.decoder, model.tgt_embedding, model.decoder_layers)
    frame.lm_head.weight = model.projection.weight
    if model.projection.bias is not None:
        frame.final_logits_bias = nn.Buffer(model.projection.bias[None].clone())
    return frame.eval()  # type: ignore[no-any-return]


def _shape(config: TransformerConfig) -> dict[str, Any]:
    return {
        "encoder_layers": config.num_encoder_layers,
        "decoder_layers": config.num_decoder_layers,
        "encoder_ffn_dim": config.d_ff,
        "decoder_ffn_dim": config.d_ff,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "vocab_size": config.tgt_vocab_size,
        "d_model": config.d_model,
        "activation_function": _ACTIVATIONS.get(config.activation, str(config.activation)),
        "scale_embedding": config.scale_embedding,
        "max_position_embeddings": config.max_positions,
        "decoder_start_token_id": config.bos_id,
        "bos_token_id": config.bos_id,
        "eos_token_id": config.eos_id,
        "pad_token_id": config.pad_id,
        "forced_eos_token_id": None,
        "tie_word_embeddings": False,
    }


def _hang_stack(frame: Any, embedding: Embedding, layers: nn.ModuleList) -> None:
    frame.embed_tokens = embedding.tokens
    offset = embedding.position_offset
    frame.embed_positions.weight = nn.Parameter(
        embedding.positions[offset:].clone(), requires_grad=False
    )
    for target, layer in zip(frame.layers, layers, strict=True):
        for theirs, ours in _LAYER.items():
            if hasattr(target, theirs.partition(".")[0]):
                target.set_submodule(theirs, layer.get_submodule(ours))
