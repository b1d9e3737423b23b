"""The Transformer of "Attention Is All You Need" (Vaswani et al., 2017), section by section.

Shape letters: B rows, S source length, T target length, D d_model, H heads, K head_dim,
V vocabulary. Every mask is True where a query may attend.

A model is used through three verbs:

    encode       source tokens -> encoder_output
    decode       a whole target at once, teacher-forced -> logits of every position
    decode_step  one position of each row, from and into a KVCache -> logits of that position
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.config import DecoderKind, NormOrder, PositionKind, TransformerConfig
from model.network.activations import ACTIVATIONS
from model.network.attention import MultiHeadAttention, causal_mask, padding_mask
from model.network.dropout import Dropout
from model.network.kv_cache import KVCache
from model.network.positions import sinusoidal_positions
from model.network.recurrence import SSRU, AverageAttention
from model.network.target_past import CachedPast, TargetPast, WholeTarget
from model.network.weights import Floats

__all__ = ["Transformer"]


class Embedding(nn.Module):
    """Token embedding times sqrt(D), plus position, then dropout (sections 3.4, 3.5, 5.4)."""

    positions: Tensor

    def __init__(self, config: TransformerConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.tokens = tokens
        self.scale = config.embedding_scale
        self.position_offset = config.position_offset
        rows = config.max_positions + config.position_offset
        if config.positions is PositionKind.LEARNED:
            self.positions = nn.Parameter(torch.empty(rows, config.d_model))
            nn.init.normal_(self.positions, std=config.d_model**-0.5)
        else:
            table = sinusoidal_positions(rows, config.d_model, config.positions)
            self.register_buffer("positions", torch.from_numpy(table), persistent=False)
        self.norm = _layer_norm(config) if config.embedding_norm else None
        self.dropout = Dropout(config.dropout)

    def forward(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """(B, T) ids at positions that broadcast to (B, T) -> (B, T, D)."""
        x = self.tokens(token_ids) * self.scale + self.positions[positions + self.position_offset]
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear maps with a non-linearity between them (section 3.3)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.d_model, config.d_ff)
        self.outer = nn.Linear(config.d_ff, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.outer(self.activation(self.inner(x)))  # type: ignore[no-any-return]


class SubLayer(nn.Module):
    """The residual connection and the layer normalisation around one sub-layer (section 3.1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm_order is NormOrder.PRE
        self.norm = _layer_norm(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, function: Callable[[Tensor], Tensor], argument: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        Args:
            argument: of the function, in place of x.
        """
        argument = x if argument is None else argument
        if self.pre_norm:
            return x + self.dropout(function(self.norm(argument)))  # type: ignore[no-any-return]
        return self.norm(x + self.dropout(function(argument)))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network (figure 1, left)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attn = _attention(config)
        self.self_attn_residual = SubLayer(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = SubLayer(config)

    def forward(self, x: Tensor, src_mask: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = self.self_attn_residual(x, lambda y: self.self_attn(y, y, src_mask))
        return self.feed_forward_residual(x, self.feed_forward)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """The target's past, cross-attention, the feed-forward network (figure 1, right)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.kind = config.decoder_kind
        if self.kind is DecoderKind.ATTENTION:
            self.self_attn = _attention(config)
            self.self_attn_residual = SubLayer(config)
        elif self.kind is DecoderKind.SSRU:
            self.ssru = SSRU(config.d_model)
            self.ssru_residual = SubLayer(config)
        else:
            self.average_attn = AverageAttention(config.d_model, config.d_average)
            self.average_attn_residual = SubLayer(config)
        self.cross_attn = _attention(config)
        self.cross_attn_residual = SubLayer(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = SubLayer(config)

    def forward(
        self, x: Tensor, past: TargetPast, cross_attend: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); where keys and values come from is the caller's business."""
        x = self._read_past(x, past)
        x = self.cross_attn_residual(x, cross_attend)
        return self.feed_forward_residual(x, self.feed_forward)  # type: ignore[no-any-return]

    def _read_past(self, x: Tensor, past: TargetPast) -> Tensor:
        if self.kind is DecoderKind.ATTENTION:
            return self.self_attn_residual(  # type: ignore[no-any-return]
                x, lambda y: past.attend(self.self_attn, y)
            )
        if self.kind is DecoderKind.SSRU:
            return self.ssru_residual(x, lambda y: self.ssru(y, past))  # type: ignore[no-any-return]
        # As Marian has it: what is normalised is the mean, and the gate reads x as it is.
        return self.average_attn_residual(  # type: ignore[no-any-return]
            x, lambda mean: self.average_attn(x, mean), past.mean(x)
        )


class Transformer(nn.Module):
    """Encoder and decoder stacks with embeddings and projection (section 3)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        src_tokens = _token_embedding(config, config.src_vocab_size)
        shared = config.shared_embeddings
        tgt_tokens = src_tokens if shared else _token_embedding(config, config.tgt_vocab_size)
        self.src_embedding = Embedding(config, src_tokens)
        self.tgt_embedding = Embedding(config, tgt_tokens)
        self.encoder_layers = _stack(EncoderLayer, config, config.num_encoder_layers)
        self.decoder_layers = _stack(DecoderLayer, config, config.num_decoder_layers)
        self.encoder_norm = _layer_norm(config) if config.final_norm else nn.Identity()
        self.decoder_norm = _layer_norm(config) if config.final_norm else nn.Identity()
        self.projection = nn.Linear(
            config.d_model, config.tgt_vocab_size, bias=config.projection_bias
        )
        self._initialise()
        if config.tied_projection:
            self.projection.weight = tgt_tokens.weight

    def forward(self, src_tokens: Tensor, src_lengths: Tensor, tgt_tokens: Tensor) -> Tensor:
        """(B, S) sources, (B,) their lengths, (B, T) targets -> logits (B, T, V)."""
        return self.decode(tgt_tokens, self.encode(src_tokens, src_lengths), src_lengths)

    def encode(self, src_tokens: Tensor, src_lengths: Tensor) -> Tensor:
        """(B, S) ids, padded behind their lengths (B,) -> encoder_output (B, S, D)."""
        src_len = src_tokens.size(1)
        src_mask = padding_mask(src_lengths, src_len)
        x = self.src_embedding(src_tokens, torch.arange(src_len, device=src_tokens.device))
        for layer in self.encoder_layers:
            x = layer(x, src_mask)
        return self.encoder_norm(x)  # type: ignore[no-any-return]

    def decode(self, tgt_tokens: Tensor, encoder_output: Tensor, src_lengths: Tensor) -> Tensor:
        """Teacher-forced: (B, T) ids, the first one `bos_id` -> logits (B, T, V)."""
        return self.project(self.decode_hidden(tgt_tokens, encoder_output, src_lengths))

    def decode_hidden(
        self, tgt_tokens: Tensor, encoder_output: Tensor, src_lengths: Tensor
    ) -> Tensor:
        """`decode` without the projection, which training fuses with the loss: (B, T, D)."""
        tgt_len = tgt_tokens.size(1)
        past = WholeTarget(causal_mask(tgt_len, tgt_tokens.device))
        src_mask = padding_mask(src_lengths, encoder_output.size(1))
        x = self.tgt_embedding(tgt_tokens, torch.arange(tgt_len, device=tgt_tokens.device))
        for layer in self.decoder_layers:
            x = layer(x, past, lambda y, layer=layer: layer.cross_attn(y, encoder_output, src_mask))
        return self.decoder_norm(x)  # type: ignore[no-any-return]

    def project(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return self.projection(hidden)  # type: ignore[no-any-return]

    def fill_cross_cache(
        self, encoder_output: Tensor, src_lengths: Tensor, cache: KVCache, slots: Tensor
    ) -> None:
        """Projects encoder_output (B, S, D) for every decoder layer into `slots` (B,)."""
        for index, layer in enumerate(self.decoder_layers):
            cross_attn: Any = layer.cross_attn
            keys, values = cross_attn.project_keys_values(encoder_output)
            cache.write_cross(index, slots, keys, values, src_lengths)

    def cross_attention(
        self, src_tokens: Tensor, src_lengths: Tensor, tgt_tokens: Tensor
    ) -> Tensor:
        """How much each target token attends to each source token, teacher-forced: (L, B, H, T, S).

        Args: as of `forward`.
        """
        encoder_output = self.encode(src_tokens, src_lengths)
        src_mask = padding_mask(src_lengths, encoder_output.size(1))
        past = WholeTarget(causal_mask(tgt_tokens.size(1), tgt_tokens.device))
        x = self.tgt_embedding(
            tgt_tokens, torch.arange(tgt_tokens.size(1), device=tgt_tokens.device)
        )
        weights: list[Tensor] = []
        for layer in self.decoder_layers:

            def cross_attend(y: Tensor, attn: Any = layer.cross_attn) -> Tensor:
                key, value = attn.project_keys_values(encoder_output)
                weights.append(attn.weights(y, key, src_mask))
                attended: Tensor = attn.attend_projected(y, key, value, src_mask)
                return attended

            x = layer(x, past, cross_attend)
        return torch.stack(weights)

    def decode_step(
        self,
        token_ids: Tensor,
        positions: Tensor,
        cache: KVCache,
        slots: Tensor,
        sources: Tensor,
        *,
        attention: Tensor | None = None,
    ) -> Tensor:
        """Feeds one token of each row and predicts the next, with the cached past.

        Args:
            token_ids: (B,) the last token of each row.
            positions: (B,) its position; rows need not be at the same one.
            cache: read, and extended by this position.
            slots: (B,) each row's slot.
            sources: (N,) the slots of the cross entries; N divides B, and B / N consecutive rows
                (the beams of one source) share an entry.
            attention: (B, S) float32, with S the longest of these sources or more; the weights of
                the alignment heads are added to it.

        Returns:
            Logits (B, V).
        """
        src_lengths = cache.source_lengths[sources]
        max_source_len = int(src_lengths.max())
        tgt_mask = padding_mask(positions + 1, int(positions.max()) + 1)
        src_mask = padding_mask(src_lengths, max_source_len)
        beams = len(slots) // len(sources)
        x = self.tgt_embedding(token_ids[:, None], positions[:, None])
        for index, layer in enumerate(self.decoder_layers):

            def cross_attend(y: Tensor, index: int = index, attn: Any = layer.cross_attn) -> Tensor:
                source = cache.read_cross(index, sources, max_source_len)
                # (B, 1, D) -> (N, B / N, D): the beams of a source are queries of one attention
                y = y.view(len(sources), beams, -1)
                heads = self.config.alignment_heads_of(index) if attention is not None else ()
                if attention is not None and heads:
                    weights = attn.weights(y, source[0], src_mask)[:, heads].sum(1)
                    attention[:, :max_source_len] += weights.view(len(slots), -1)
                attended: Tensor = attn.attend_projected(y, *source, src_mask)
                return attended.view(len(slots), 1, -1)

            x = layer(x, CachedPast(cache, index, slots, positions, tgt_mask), cross_attend)
        return self.project(self.decoder_norm(x[:, 0]))

    @property
    def cross_input_projections(self) -> list[nn.Linear]:
        """Keys and values of every decoder layer's cross-attention: all read the encoder output."""
        layers: list[Any] = list(self.decoder_layers)  # modules in a list have no types
        attentions = [layer.cross_attn for layer in layers]
        return [part for attn in attentions for part in (attn.k_proj, attn.v_proj)]

    @property
    def num_parameters(self) -> int:
        """Trained numbers; a shared matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def array(self, name: str) -> Floats:
        """See `Weights`; shares the memory of a float32 tensor on the CPU, and keeps it alive."""
        weight = self.get_parameter(name).detach()
        array: Floats = weight.to("cpu", torch.float32).contiguous().numpy()
        return array

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        """See `Weights`."""
        return self.array(name)[list(numbers)]

    def transformer(self) -> Transformer:
        """See `Weights`: itself."""
        return self

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _layer_norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)


def _attention(config: TransformerConfig) -> MultiHeadAttention:
    return MultiHeadAttention(config.d_model, config.num_heads, bias=config.attention_bias)


def _token_embedding(config: TransformerConfig, vocab_size: int) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, config.d_model)
    # With the sqrt(D) factor of section 3.4 this gives inputs of unit variance.
    nn.init.normal_(embedding.weight, std=config.d_model**-0.5)
    return embedding


def _stack(
    kind: Callable[[TransformerConfig], nn.Module], config: TransformerConfig, num_layers: int
) -> nn.ModuleList:
    return nn.ModuleList(kind(config) for _ in range(num_layers))
