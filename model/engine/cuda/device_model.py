"""The model as two programs of operations: encode what is packed, and take one decode step.

Both run inside CUDA graphs: between two calls only the contents of their tensors differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.config import Activation, DecoderKind, NormOrder, TransformerConfig
from model.engine.cuda.kernels.operations import Linear, Norm, Operations, Table
from model.engine.cuda.kernels.slot_memory import SlotMemory
from model.network.attention import MultiHeadAttention, fuse_linears
from model.network.recurrence import SSRU, AverageAttention
from model.network.transformer import Embedding, FeedForward, SubLayer, Transformer

__all__ = ["DeviceModel"]

_NARROW = 32
"""Most rows for which a product is fused with the normalisation before it and the sum behind it:
there launches cost more than arithmetic, and the weights are read once in any case."""


@dataclass(frozen=True)
class _Attention:
    norm: Norm | None
    """Normalises the stream before this sub-layer, as in the two others."""
    inner: Linear
    """Queries, keys and values; for cross-attention the queries alone."""
    outer: Linear


@dataclass(frozen=True)
class _FeedForward:
    norm: Norm | None
    inner: Linear
    outer: Linear


@dataclass(frozen=True)
class _Ssru:
    norm: Norm | None
    inner: Linear
    """What goes in, and the gate."""


@dataclass(frozen=True)
class _AverageAttention:
    norm: Norm | None
    """Normalises the stream before this sub-layer in post-norm; pre-norm has `mean_norm`."""
    mean_norm: Norm | None
    network: tuple[Linear, Linear] | None
    input_gate: Linear
    forget_gate: Linear


@dataclass(frozen=True)
class _EncoderLayer:
    attention: _Attention
    feed_forward: _FeedForward


@dataclass(frozen=True)
class _DecoderLayer:
    past: _Attention | _Ssru | _AverageAttention
    cross_attention: _Attention
    feed_forward: _FeedForward


class _Weights:
    """Takes a Transformer apart; a parameter that is used twice is stored once."""

    def __init__(self, model: Transformer, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._stored: dict[int, Tensor] = {}
        config = model.config
        # Modules in a list have no types of their own.
        encoder_layers: list[Any] = list(model.encoder_layers)
        decoder_layers: list[Any] = list(model.decoder_layers)
        self.src_table = self._table(model.src_embedding)
        self.tgt_table = self._table(model.tgt_embedding)
        encoder = _EntryNorms(config, self)
        self.encoder_layers = [
            _EncoderLayer(
                self._self_attention(encoder.before(layer.self_attn_residual), layer.self_attn),
                self._feed_forward(encoder.before(layer.feed_forward_residual), layer.feed_forward),
            )
            for layer in encoder_layers
        ]
        self.encoder_norms = encoder.at_the_end(model.encoder_norm)
        decoder = _EntryNorms(config, self)
        self.decoder_layers = [
            _DecoderLayer(
                self._past(decoder, layer, config),
                self._cross_attention(decoder.before(layer.cross_attn_residual), layer.cross_attn),
                self._feed_forward(decoder.before(layer.feed_forward_residual), layer.feed_forward),
            )
            for layer in decoder_layers
        ]
        self.decoder_norms = decoder.at_the_end(model.decoder_norm)
        self.cross_keys_values = self._fused(model.cross_input_projections)
        self.projection = self._fused([model.projection])

    def norm(self, norm: nn.LayerNorm) -> Norm:
        weight, bias = (
            parameter.detach().to(self.device, torch.float32, copy=True)
            for parameter in (norm.weight, norm.bias)
        )
        return Norm(weight, bias, norm.eps)

    def _table(self, embedding: Embedding) -> Table:
        return Table(
            tokens=self._convert(embedding.tokens.weight),
            positions=embedding.positions.detach().to(self.device, torch.float32, copy=True),
            offset=embedding.position_offset,
            scale=embedding.scale,
            norm=None if embedding.norm is None else self.norm(embedding.norm),
        )

    def _self_attention(self, norm: Norm | None, attention: MultiHeadAttention) -> _Attention:
        inner = self._fused(attention.input_projections)
        return _Attention(norm, inner, self._fused([attention.out_proj]))

    def _past(
        self, norms: _EntryNorms, layer: Any, config: TransformerConfig
    ) -> _Attention | _Ssru | _AverageAttention:
        if config.decoder_kind is DecoderKind.ATTENTION:
            return self._self_attention(norms.before(layer.self_attn_residual), layer.self_attn)
        if config.decoder_kind is DecoderKind.SSRU:
            return self._ssru(norms.before(layer.ssru_residual), layer.ssru)
        norm = norms.before(layer.average_attn_residual)
        pre = config.norm_order is NormOrder.PRE
        return self._average_attention(None if pre else norm, norm if pre else None, layer)

    def _ssru(self, norm: Norm | None, ssru: SSRU) -> _Ssru:
        weight = torch.cat([ssru.input.weight, ssru.forget.weight])
        bias = torch.cat([torch.zeros_like(ssru.forget.bias), ssru.forget.bias])
        return _Ssru(norm, Linear(self._moved(weight), self._moved(bias)))

    def _average_attention(
        self, norm: Norm | None, mean_norm: Norm | None, layer: Any
    ) -> _AverageAttention:
        average: AverageAttention = layer.average_attn
        network = None
        if average.inner is not None and average.outer is not None:
            network = (self._fused([average.inner]), self._fused([average.outer]))
        gates = (self._fused([gate]) for gate in (average.input_gate, average.forget_gate))
        return _AverageAttention(norm, mean_norm, network, *gates)

    def _cross_attention(self, norm: Norm | None, attention: MultiHeadAttention) -> _Attention:
        return _Attention(norm, self._fused([attention.q_proj]), self._fused([attention.out_proj]))

    def _feed_forward(self, norm: Norm | None, feed_forward: FeedForward) -> _FeedForward:
        return _FeedForward(
            norm, self._fused([feed_forward.inner]), self._fused([feed_forward.outer])
        )

    def _fused(self, linears: list[nn.Linear]) -> Linear:
        weight, bias = fuse_linears(linears)
        return Linear(
            # A single layer's weight may be somebody else's, too: the embeddings', say.
            self._convert(weight) if len(linears) == 1 else self._moved(weight),
            None if bias is None else self._moved(bias, copy=True),
        )

    def _convert(self, parameter: Tensor) -> Tensor:
        if id(parameter) not in self._stored:
            self._stored[id(parameter)] = self._moved(parameter, copy=True)
        return self._stored[id(parameter)]

    def _moved(self, parameter: Tensor, *, copy: bool = False) -> Tensor:
        return parameter.detach().to(self.device, self.dtype, copy=copy)


class _EntryNorms:
    """Which normalisation the stream gets before each sub-layer, whatever the order of norms.

    Pre-norm: the sub-layer's own. Post-norm: that of the sub-layer before it, and none before the
    first.
    """

    def __init__(self, config: TransformerConfig, weights: _Weights) -> None:
        self._pre = config.norm_order is NormOrder.PRE
        self._weights = weights
        self._last: Norm | None = None

    def before(self, sub_layer: SubLayer) -> Norm | None:
        own = self._weights.norm(sub_layer.norm)
        if self._pre:
            return own
        before, self._last = self._last, own
        return before

    def at_the_end(self, final: nn.Module) -> list[Norm | None]:
        norms: list[Norm | None] = [] if self._pre else [self._last]
        if isinstance(final, nn.LayerNorm):
            norms.append(self._weights.norm(final))
        return norms or [None]


class _ResidualStream:
    """The stream and what sub-layers do with it, in the way that suits the number of its rows."""

    def __init__(self, operations: Operations, stream: Tensor, *, post_norm: bool) -> None:
        self._operations = operations
        self._stream = stream
        self._post_norm = post_norm
        self._narrow = len(stream) <= _NARROW
        self._update: Tensor | None = None
        """Wide only: what the last sub-layer gave, to be added where the stream is read next."""
        self._norm: Norm | None = None
        """Narrow only: post-norm adds to the normalised stream."""

    def enter(self, norm: Norm | None, linear: Linear, activation: Activation | None) -> Tensor:
        """(R, D) normalised, and through a sub-layer's first product."""
        operations = self._operations
        if self._narrow:
            self._norm = norm if self._post_norm else None
            return operations.norm_linear(self._stream, norm, linear, activation)
        x = operations.add_norm(self._stream, self._update, norm, keep=self._post_norm)
        return operations.linear(x, linear, activation)

    def add(self, x: Tensor, linear: Linear) -> None:
        """Through the sub-layer's last product, and onto the stream."""
        if self._narrow:
            self._stream = self._operations.linear_add(x, linear, self._stream, self._norm)
        else:
            self._update = self._operations.linear(x, linear)

    def add_update(self, update: Tensor) -> None:
        """(R, D) onto the stream."""
        if self._narrow:
            if self._norm is not None:
                self._operations.add_norm(self._stream, None, self._norm, keep=True)
            self._stream.add_(update)
        else:
            self._update = update

    def settle(self, norm: Norm | None) -> tuple[Tensor, Tensor]:
        """The stream, normalised, all updates added, and the same in the type of the weights.

        `add_update` comes next.
        """
        update, self._update, self._norm = self._update, None, None
        x = self._operations.add_norm(self._stream, update, norm, keep=True)
        return self._stream, x

    def leave(self, norms: list[Norm | None]) -> Tensor:
        """(R, D) at the end of the stack."""
        first, *rest = norms
        x = self._operations.add_norm(self._stream, self._update, first, keep=True)
        for norm in rest:
            x = self._operations.add_norm(self._stream, None, norm, keep=True)
        return x


class DeviceModel:
    """A model's weights in the layout of `operations`, and what is computed with them.

    Args:
        model: is copied from, not kept.
        memory: of the slots.
    """

    def __init__(
        self,
        model: Transformer,
        operations: Operations,
        memory: SlotMemory,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.config = model.config
        self._operations = operations
        self._memory = memory
        self._post_norm = model.config.norm_order is NormOrder.POST
        self._weights = _Weights(model, dtype, device)

    def encode(self, tokens: Tensor, blocks: Tensor) -> None:
        """Writes the sources' keys and values into the cross-attention caches.

        Args:
            tokens: (3, N) int32: ids, leads, positions. What only fills up has the lead -1.
            blocks: (B, 3) int32, see `Operations.attend_packed`.
        """
        operations, weights = self._operations, self._weights
        x = operations.embed(tokens[0], tokens[2], weights.src_table)
        stream = _ResidualStream(operations, x, post_norm=self._post_norm)
        for layer in weights.encoder_layers:
            qkv = stream.enter(layer.attention.norm, layer.attention.inner, None)
            attended = operations.attend_packed(qkv, blocks, self.config.num_heads)
            stream.add(attended, layer.attention.outer)
            self._feed_forward(stream, layer.feed_forward)
        encoded = stream.leave(weights.encoder_norms)
        keys_values = operations.linear(encoded, weights.cross_keys_values)
        operations.write_cross(keys_values, tokens[1:], self._memory)

    def step(
        self,
        rows: Tensor,
        flags: Tensor,
        *,
        constrained: bool,
        restricted: bool = False,
        aligned: bool = False,
        lexical: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    ) -> None:
        """Feeds one token of each hypothesis, and takes the searches one step on.

        Args:
            rows: (G, beam) int32 slots.
            flags: (G,) int32, see `Operations.advance`.
            constrained: whether some search has a repetition guard.
            restricted: whether they have shortlists.
            aligned: whether they ask where in the source each step attends.
            lexical: applies their lexical constraints, see `HostConstraints.apply`.
        """
        operations, memory = self._operations, self._memory
        token_ids, positions = operations.read_rows(rows, memory)
        attention: Tensor | None = None
        if aligned:
            shape = (rows.numel(), memory.max_positions)
            attention = torch.zeros(shape, dtype=torch.float32, device=rows.device)
        x = self._decode(token_ids, positions, rows, attention)
        if attention is not None:
            operations.note_attended(attention, rows, positions, memory)
        vocab_size, eos_id = self.config.tgt_vocab_size, self.config.eos_id
        guard = None
        if constrained:
            guard = operations.guard(rows, positions, memory, vocab_size, eos_id)
        beams = rows.size(1)
        width = 1 if beams == 1 else min(2 * beams, vocab_size)
        projection = self._weights.projection
        if lexical is None:
            candidates = operations.candidates(
                x, projection, width, rows, memory, restricted=restricted, guard=guard
            )
        else:
            free = operations.log_probs(x, projection, rows, memory, restricted=restricted)
            # Changed in place by who looks at both.
            if guard is None:
                log_probs = free.clone()
            else:
                log_probs = operations.guarded(free, guard, rows, memory)
            lexical(log_probs, free, rows)
            candidates = operations.best(log_probs, width)
        operations.advance(candidates, rows, memory, flags, eos_id)
        if beams > 1:
            operations.reorder_beams(rows, positions, memory)

    def _decode(
        self, token_ids: Tensor, positions: Tensor, rows: Tensor, attention: Tensor | None
    ) -> Tensor:
        """(R, D) what the decoder makes of a token of each row, to be projected."""
        operations, weights, memory = self._operations, self._weights, self._memory
        x = operations.embed(token_ids, positions, weights.tgt_table)
        stream = _ResidualStream(operations, x, post_norm=self._post_norm)
        for index, layer in enumerate(weights.decoder_layers):
            self._read_past(stream, layer.past, index, rows, positions)
            cross = layer.cross_attention
            query = stream.enter(cross.norm, cross.inner, None)
            heads = self.config.alignment_heads_of(index)
            if attention is not None and heads:
                operations.add_attention(attention, query, index, heads, rows, memory)
            stream.add(operations.attend_cross(query, index, rows, memory), cross.outer)
            self._feed_forward(stream, layer.feed_forward)
        return stream.leave(weights.decoder_norms)

    def _read_past(
        self,
        stream: _ResidualStream,
        layer: _Attention | _Ssru | _AverageAttention,
        index: int,
        rows: Tensor,
        positions: Tensor,
    ) -> None:
        operations, memory = self._operations, self._memory
        if isinstance(layer, _Attention):
            qkv = stream.enter(layer.norm, layer.inner, None)
            attended = operations.attend_self(qkv, index, rows, positions, memory)
            stream.add(attended, layer.outer)
        elif isinstance(layer, _Ssru):
            projected = stream.enter(layer.norm, layer.inner, None)
            stream.add_update(operations.recur(projected, index, rows, positions, memory))
        else:
            exact, x = stream.settle(layer.norm)
            mean = operations.average(exact, index, rows, positions, memory)
            mean = operations.add_norm(mean, None, layer.mean_norm, keep=False)
            if layer.network is not None:
                inner, outer = layer.network
                mean = operations.linear(operations.linear(mean, inner, Activation.SILU), outer)
            own = operations.linear(x, layer.input_gate).sigmoid() * x
            gate = operations.linear(mean, layer.forget_gate).sigmoid()
            stream.add_update(own + gate * mean)

    def _feed_forward(self, stream: _ResidualStream, layer: _FeedForward) -> None:
        hidden = stream.enter(layer.norm, layer.inner, self.config.activation)
        stream.add(hidden, layer.outer)
