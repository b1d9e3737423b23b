"""Hugging Face's `generate`, on padded batches of like length.

Its beam search divides by length ** 0.6 where ours divides by ((5 + length) / 6) ** 0.6, and ends a
sentence when four hypotheses have ended, where ours may end sooner, once none can become better.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import nn
from transformers import (
    MarianConfig,
    MarianMTModel,
    PegasusConfig,
    PegasusForConditionalGeneration,
)
from transformers.utils import logging

from loadtests.bench.contender import (
    BATCH_SIZE,
    LENGTH_PENALTY,
    BenchError,
    Contender,
    ContenderSpec,
    Setup,
    Task,
    TokenIds,
    serve_in_batches,
)
from model.config import Activation, DecoderKind, NormOrder, TransformerConfig
from model.decoding.reference import pad_sources
from model.network.attention import padding_mask
from model.network.transformer import Embedding, Transformer

__all__ = ["TransformersContender", "to_transformers"]

_WARM_UP = 8
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


class TransformersContender(Contender):
    """One model; PyTorch's own threads."""

    def __init__(self, spec: ContenderSpec, model: Transformer) -> None:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        torch.set_num_threads(len(spec.cores))
        self._spec = spec
        self._config = model.config
        dtype: torch.dtype = getattr(torch, spec.dtype)
        self._model: Any = to_transformers(model)
        self._model.to(spec.device, dtype)  # type: ignore[arg-type]

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """There is nothing to choose."""
        self.translate(task, sample[:_WARM_UP])
        return {"num_threads": len(self._spec.cores), "batch_size": BATCH_SIZE}

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """Longest first, so that what is in a batch has about the same length."""
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
        targets: list[list[int]] = [[] for _ in sources]
        for first in range(0, len(order), BATCH_SIZE):
            rows = order[first : first + BATCH_SIZE]
            found = self._generate(task, [sources[i] for i in rows])
            for row, target in zip(rows, found, strict=True):
                targets[row] = target
        return targets

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """One batch at a time, of everything that waits."""
        return serve_in_batches(
            lambda batch: self._generate(task, [sources[index] for index in batch]),
            arrivals,
            num_workers=1,
            most=BATCH_SIZE,
        )

    def _generate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        device = self._spec.device
        src_tokens, lengths = pad_sources(sources, self._config.pad_id, device)
        mask = padding_mask(lengths, src_tokens.size(1))[:, 0, 0]
        options: dict[str, Any] = {"num_beams": task.search.beam_size}
        if task.search.beam_size > 1:
            options |= {"length_penalty": LENGTH_PENALTY, "early_stopping": True}
        with torch.inference_mode():
            found = self._model.generate(
                input_ids=src_tokens,
                attention_mask=mask.long(),
                do_sample=False,
                max_new_tokens=task.limit or self._spec.max_new_tokens,
                **options,
            )
        # The first token is what the decoder was started with.
        end = self._config.eos_id
        return [list(takewhile(lambda token: token != end, row[1:])) for row in found.tolist()]


@torch.no_grad()
def to_transformers(model: Transformer) -> MarianMTModel | PegasusForConditionalGeneration:
    """The same layers, hung into Marian's frame for post-norm, into Pegasus' for pre-norm.

    Raises:
        BenchError: neither of the two is such a model.
    """
    config = model.config
    pre_norm = config.norm_order is NormOrder.PRE
    if config.decoder_kind is not DecoderKind.ATTENTION:
        raise BenchError("transformers has no decoders without self-attention")
    if config.final_norm is not pre_norm:
        raise BenchError(
            "transformers' models end with a layer normalisation for pre-norm, and for it alone"
        )
    if config.embedding_norm:
        raise BenchError("transformers' Marian and Pegasus do not normalise embeddings")
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
