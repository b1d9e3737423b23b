"""Where each head of a model attends, for one sentence and its translation: no torch in here.

It is the network of model/network/transformer.py once more, of one sentence and in NumPy, which
reads each weight when it is needed and keeps none. So a process with the compiled engine can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.config import Activation, DecoderKind, NormOrder, PositionKind, TransformerConfig
from model.network.positions import sinusoidal_positions
from model.network.weights import Floats, Weights

__all__ = ["AttentionMaps", "attention_maps", "map_size", "mean_entropy"]


@dataclass(frozen=True, kw_only=True)
class AttentionMaps:
    """How much each position attends to each: rows of them are 1 in sum."""

    encoder: Floats
    """(L, H, S, S): the source to itself."""
    decoder: Floats | None
    """(L, H, T, T): the target to itself; None of a decoder without self-attention."""
    cross: Floats
    """(L, H, T, S): the target to the source."""


def map_size(config: TransformerConfig, source_len: int, target_len: int) -> int:
    """How many numbers the maps of a sentence have."""
    of_self = target_len if config.decoder_kind is DecoderKind.ATTENTION else 0
    encoder = config.num_encoder_layers * source_len * source_len
    decoder = config.num_decoder_layers * target_len * (of_self + source_len)
    return config.num_heads * (encoder + decoder)


def mean_entropy(maps: Floats) -> Floats:
    """The mean entropy of the rows of each head, in nats: (L, H, Q, M) -> (L, H).

    0: each position attends to one other; log M: to all of M alike.
    """
    logs = np.log(np.maximum(maps, np.finfo(np.float32).tiny))
    entropy: Floats = -(maps * logs).sum(axis=-1).mean(axis=-1)
    return entropy


def attention_maps(
    weights: Weights,
    source_ids: Sequence[int],
    target_ids: Sequence[int],
    *,
    check: Callable[[], None] = lambda: None,
) -> AttentionMaps:
    """The attention of all heads, teacher-forced.

    Args:
        weights: of the model, in float32.
        source_ids: S of them, as the encoder reads them.
        target_ids: T of them, as the decoder reads them: the first one is `bos_id`.
        check: called before each layer; may raise.
    """
    return _Pass(weights, check).maps(source_ids, target_ids)


class _Pass:
    """One sentence's way through a network."""

    def __init__(self, weights: Weights, check: Callable[[], None]) -> None:
        self._weights = weights
        self._config = weights.config
        self._check = check

    def maps(self, source_ids: Sequence[int], target_ids: Sequence[int]) -> AttentionMaps:
        """See `attention_maps`."""
        config = self._config
        x = self._embedded("src", source_ids)
        of_source: list[Floats] = []
        for layer in range(config.num_encoder_layers):
            self._check()
            at = f"encoder_layers.{layer}"
            x = self._attended(f"{at}.self_attn", x, None, of_source)
            x = self._feed_forward(at, x)
        encoder_output = self._norm("encoder_norm", x) if config.final_norm else x
        x = self._embedded("tgt", target_ids)
        of_target: list[Floats] = []
        of_both: list[Floats] = []
        for layer in range(config.num_decoder_layers):
            self._check()
            at = f"decoder_layers.{layer}"
            x = self._with_past(at, x, of_target)
            x = self._attended(f"{at}.cross_attn", x, encoder_output, of_both)
            x = self._feed_forward(at, x)
        return AttentionMaps(
            encoder=np.stack(of_source),
            decoder=np.stack(of_target) if of_target else None,
            cross=np.stack(of_both),
        )

    def _embedded(self, side: str, token_ids: Sequence[int]) -> Floats:
        """(T,) -> (T, D)."""
        config = self._config
        own = "src" if config.shared_embeddings else side
        tokens = self._weights.rows(f"{own}_embedding.tokens.weight", token_ids)
        first = config.position_offset
        last = first + len(token_ids)
        if config.positions is PositionKind.LEARNED:
            positions = self._weights.rows(f"{side}_embedding.positions", range(first, last))
        else:
            positions = sinusoidal_positions(last, config.d_model, config.positions)[first:]
        x: Floats = tokens * np.float32(config.embedding_scale) + positions
        return self._norm(f"{side}_embedding.norm", x) if config.embedding_norm else x

    def _attended(
        self,
        name: str,
        x: Floats,
        attended: Floats | None,
        maps: list[Floats],
        *,
        past: bool = False,
    ) -> Floats:
        """Attention with its residual connection, to `attended` or x itself; adds (H, T, M)."""

        def attend(y: Floats) -> Floats:
            keys_from = y if attended is None else attended
            out, weights = self._heads(name, y, keys_from, past=past)
            maps.append(weights)
            return out

        return self._residual(f"{name}_residual", x, attend)

    def _heads(
        self, name: str, x: Floats, keys_from: Floats, *, past: bool
    ) -> tuple[Floats, Floats]:
        config = self._config
        biased = config.attention_bias

        def split(part: str, y: Floats) -> Floats:
            z = self._linear(f"{name}.{part}", y, biased=biased)
            return z.reshape(len(y), config.num_heads, -1).transpose(1, 0, 2)

        query, key = split("q_proj", x), split("k_proj", keys_from)
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
        if past:
            scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined = (weights @ split("v_proj", keys_from)).transpose(1, 0, 2).reshape(len(x), -1)
        return self._linear(f"{name}.out_proj", joined, biased=biased), weights

    def _with_past(self, at: str, x: Floats, maps: list[Floats]) -> Floats:
        """What a decoder layer reads of the target so far."""
        kind = self._config.decoder_kind
        if kind is DecoderKind.ATTENTION:
            return self._attended(f"{at}.self_attn", x, None, maps, past=True)
        if kind is DecoderKind.SSRU:
            return self._residual(f"{at}.ssru_residual", x, lambda y: self._ssru(f"{at}.ssru", y))
        count = np.arange(1, len(x) + 1, dtype=np.float32)[:, None]
        mean: Floats = (x.cumsum(axis=0) / count).astype(np.float32)
        name = f"{at}.average_attn"
        return self._residual(f"{name}_residual", x, lambda y: self._average(name, x, y), mean)

    def _ssru(self, name: str, x: Floats) -> Floats:
        forget = _sigmoid(self._linear(f"{name}.forget", x))
        update = (1 - forget) * self._linear(f"{name}.input", x, biased=False)
        state = np.zeros_like(update[0])
        states = []
        for gate, new in zip(forget, update, strict=True):
            state = gate * state + new
            states.append(state)
        y: Floats = np.maximum(np.stack(states), 0)
        return y

    def _average(self, name: str, x: Floats, mean: Floats) -> Floats:
        if self._config.d_average:
            inner = self._linear(f"{name}.inner", mean)
            mean = self._linear(f"{name}.outer", inner * _sigmoid(inner))
        kept = _sigmoid(self._linear(f"{name}.input_gate", x)) * x
        return kept + _sigmoid(self._linear(f"{name}.forget_gate", mean)) * mean

    def _feed_forward(self, at: str, x: Floats) -> Floats:
        activation = _ACTIVATIONS[self._config.activation]
        name = f"{at}.feed_forward"
        return self._residual(
            f"{name}_residual",
            x,
            lambda y: self._linear(f"{name}.outer", activation(self._linear(f"{name}.inner", y))),
        )

    def _residual(
        self,
        name: str,
        x: Floats,
        function: Callable[[Floats], Floats],
        argument: Floats | None = None,
    ) -> Floats:
        argument = x if argument is None else argument
        norm = f"{name}.norm"
        if self._config.norm_order is NormOrder.PRE:
            return x + function(self._norm(norm, argument))
        return self._norm(norm, x + function(argument))

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        y: Floats = centred / np.sqrt(variance + np.float32(self._config.layer_norm_eps))
        return y * self._weights.array(f"{name}.weight") + self._weights.array(f"{name}.bias")

    def _linear(self, name: str, x: Floats, *, biased: bool = True) -> Floats:
        y: Floats = x @ self._weights.array(f"{name}.weight").T
        return y + self._weights.array(f"{name}.bias") if biased else y


def _sigmoid(x: Floats) -> Floats:
    y: Floats = ((1 + np.tanh(x / 2)) / 2).astype(np.float32)
    return y


_ERF = np.vectorize(math.erf, otypes=[np.float32])
_ACTIVATIONS: dict[Activation, Callable[[Floats], Floats]] = {
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.GELU: lambda x: x * (1 + _ERF(x / math.sqrt(2))) / 2,
    Activation.GELU_TANH: lambda x: (
        x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    ),
    Activation.GELU_SIGMOID: lambda x: x * _sigmoid(1.702 * x),
    Activation.SILU: lambda x: x * _sigmoid(x),
}
