"""A sentence's way through a network, in NumPy: no torch in here.

It is the network of model/network/transformer.py once more, of one sentence, which reads each
weight when it is needed and keeps none. So a process with the compiled engine can tell what the
network does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from model.config import Activation, DecoderKind, NormOrder, PositionKind
from model.network.positions import sinusoidal_positions
from model.network.weights import Floats, Weights

__all__ = ["SentencePass", "softmax"]


class SentencePass:
    """One sentence's way through a network."""

    def __init__(self, weights: Weights, check: Callable[[], None]) -> None:
        self._weights = weights
        self._config = weights.config
        self._check = check

    def encode(self, source_ids: Sequence[int], maps: list[Floats]) -> Floats:
        """The encoder's output (S, D); adds the attention of each layer's heads, (H, S, S)."""
        config = self._config
        x = self._embedded("src", source_ids, range(len(source_ids)))
        for layer in range(config.num_encoder_layers):
            self._check()
            at = f"encoder_layers.{layer}"
            x = self._attended(f"{at}.self_attn", x, None, maps)
            x = self._feed_forward(at, x)
        return self._norm("encoder_norm", x) if config.final_norm else x

    def decode(
        self,
        target_ids: Sequence[int],
        places: Sequence[int],
        encoder_output: Floats,
        of_target: list[Floats],
        of_both: list[Floats],
    ) -> Floats:
        """The decoder's output (T, D) before the projection.

        Args:
            target_ids: T of them.
            places: of these in the target, T of them, or one for all.
            encoder_output: (S, D)
            of_target: gets the self-attention of each layer's heads, if they have it, (H, T, T).
            of_both: gets their attention to the source, (H, T, S).
        """
        config = self._config
        x = self._embedded("tgt", target_ids, places)
        for layer in range(config.num_decoder_layers):
            self._check()
            at = f"decoder_layers.{layer}"
            x = self._with_past(at, x, of_target)
            x = self._attended(f"{at}.cross_attn", x, encoder_output, of_both)
            x = self._feed_forward(at, x)
        return self._norm("decoder_norm", x) if config.final_norm else x

    def project(self, x: Floats) -> Floats:
        """(T, D) -> logits (T, V)."""
        config = self._config
        embedding = f"{'src' if config.shared_embeddings else 'tgt'}_embedding.tokens.weight"
        name = embedding if config.tied_projection else "projection.weight"
        logits: Floats = x @ self._weights.array(name).T
        return logits + self._weights.array("projection.bias") if config.projection_bias else logits

    def _embedded(self, side: str, token_ids: Sequence[int], places: Sequence[int]) -> Floats:
        """(T,) -> (T, D)."""
        config = self._config
        own = "src" if config.shared_embeddings else side
        tokens = self._weights.rows(f"{own}_embedding.tokens.weight", token_ids)
        numbers = [place + config.position_offset for place in places]
        if config.positions is PositionKind.LEARNED:
            positions = self._weights.rows(f"{side}_embedding.positions", numbers)
        else:
            table = sinusoidal_positions(max(numbers) + 1, config.d_model, config.positions)
            positions = table[numbers]
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
        """What the heads have read, (T, D), and where they have looked for it, (H, T, M)."""
        query, key = self._split(f"{name}.q_proj", x), self._split(f"{name}.k_proj", keys_from)
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
        if past:
            scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
        weights = softmax(scores)
        read = weights @ self._split(f"{name}.v_proj", keys_from)
        return self._joined(name, read), weights

    def _split(self, name: str, x: Floats) -> Floats:
        """A projection for each head: (T, D) -> (H, T, K)."""
        config = self._config
        y = self._linear(name, x, biased=config.attention_bias)
        heads: Floats = y.reshape(len(x), config.num_heads, -1).transpose(1, 0, 2)
        return heads

    def _joined(self, name: str, read: Floats) -> Floats:
        """What all heads have read together: (H, T, K) -> (T, D)."""
        joined = read.transpose(1, 0, 2).reshape(read.shape[1], -1)
        return self._linear(f"{name}.out_proj", joined, biased=self._config.attention_bias)

    def _with_past(self, at: str, x: Floats, maps: list[Floats]) -> Floats:
        """What a decoder layer reads of the target so far."""
        kind = self._config.decoder_kind
        if kind is DecoderKind.ATTENTION:
            return self._attended(f"{at}.self_attn", x, None, maps, past=True)
        if kind is DecoderKind.SSRU:
            return self._residual(f"{at}.ssru_residual", x, lambda y: self._ssru(f"{at}.ssru", y))
        mean = self._mean(at, x)
        name = f"{at}.average_attn"
        return self._residual(f"{name}_residual", x, lambda y: self._average(name, x, y), mean)

    def _mean(self, at: str, x: Floats) -> Floats:
        """The mean of each position's input and all inputs before."""
        count = np.arange(1, len(x) + 1, dtype=np.float32)[:, None]
        mean: Floats = (x.cumsum(axis=0) / count).astype(np.float32)
        return mean

    def _ssru(self, name: str, x: Floats) -> Floats:
        forget = _sigmoid(self._linear(f"{name}.forget", x))
        update = (1 - forget) * self._linear(f"{name}.input", x, biased=False)
        y: Floats = np.maximum(self._states(name, forget, update), 0)
        return y

    def _states(self, name: str, forget: Floats, update: Floats) -> Floats:
        """The state behind each position: forget times the one before, and the update."""
        state = np.zeros_like(update[0])
        states = []
        for gate, new in zip(forget, update, strict=True):
            state = gate * state + new
            states.append(state)
        return np.stack(states)

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


def softmax(scores: Floats) -> Floats:
    """Along the last axis."""
    weights: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


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
