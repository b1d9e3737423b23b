"""Marian's Transformer once more, in NumPy and float64, from its own names and options.

It shares nothing with what it judges, neither the table of names nor the network, and does one
sentence at a time, without caches that matter: slow, and easy to read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MarianOracle"]

Array = NDArray[np.float64]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "swish": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}


class MarianOracle:
    """One model.

    Args:
        tensors: float arrays by Marian's names.
        options: of `special:model.yml`.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> None:
        self.tensors = {name: np.asarray(array, np.float64) for name, array in tensors.items()}
        self.options = options
        self.width: int = options["dim-emb"]
        tied = options.get("tied-embeddings-all") or options.get("tied-embeddings-src")
        self.source_table = self.tensors["Wemb" if tied else "encoder_Wemb"]
        self.target_table = self.tensors["Wemb" if tied else "decoder_Wemb"]
        if options.get("tied-embeddings-all") or options.get("tied-embeddings"):
            self.output = self.target_table.T
        elif "decoder_ff_logit_out_Wt" in self.tensors:
            self.output = self.tensors["decoder_ff_logit_out_Wt"].T
        else:
            self.output = self.tensors["decoder_ff_logit_out_W"]
        self.output_bias = self.tensors.get("decoder_ff_logit_out_b", np.zeros(1))
        self.activation = _ACTIVATIONS[options["transformer-ffn-activation"]]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Array:
        """(len(target) + 1, V): of what follows each beginning of `target`.

        Args:
            source: ids, the end token included.
            target: ids, without it.
        """
        return self.next_logits(self.encode(source), target)

    def greedy(
        self, source: Sequence[int], limit: int, allowed: Sequence[int] | None = None
    ) -> list[int]:
        """The most likely tokens, one by one, up to the end token, which is not among them.

        Args:
            limit: most tokens, the end token included.
            allowed: ids that may be predicted.
        """
        encoded = self.encode(source)
        steps = _Steps(self, encoded)
        target: list[int] = []
        while len(target) < limit:
            logits = steps.next(target[-1] if target else None)
            if allowed is not None:
                best = int(np.asarray(allowed)[logits[np.asarray(allowed)].argmax()])
            else:
                best = int(logits.argmax())
            if best == 0:
                break
            target.append(best)
        return target

    def encode(self, source: Sequence[int]) -> Array:
        """(S, D)."""
        x = self.embedded("encoder", self.source_table[list(source)], 0)
        for layer in range(1, self.options["enc-depth"] + 1):
            prefix = f"encoder_l{layer}"
            y = self.before(f"{prefix}_self_Wo", x)
            x = self.after(f"{prefix}_self_Wo", self.attention(f"{prefix}_self", y, y), x)
            x = self.feed_forward(prefix, x)
        return self.top("encoder", x)

    def next_logits(self, encoded: Array, target: Sequence[int]) -> Array:
        """`logits` for a source that has been encoded."""
        steps = _Steps(self, encoded)
        return np.stack([steps.next(token) for token in (None, *target)])

    def embedded(self, stack: str, rows: Array, begin: int) -> Array:
        """What a stack reads: (T, D) from tokens' rows, of which the first is at `begin`."""
        positions = np.arange(begin, begin + len(rows))
        if "Wpos" in self.tensors:
            x = rows + self.tensors["Wpos"][np.minimum(positions, len(self.tensors["Wpos"]) - 1)]
        else:
            half = self.width // 2
            frequencies = np.exp(-np.arange(half) * math.log(10_000) / (half - 1))
            angles = positions[:, None] * frequencies
            x = rows * math.sqrt(self.width) + np.concatenate([np.sin(angles), np.cos(angles)], 1)
        if "n" in self.options.get("transformer-postprocess-emb", "d"):
            return self.norm(f"{stack}_emb", x, "_pre")
        return x

    def norm(self, name: str, x: Array, suffix: str) -> Array:
        """A layer norm over D."""
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-9)
        scale, bias = (self.tensors[f"{name}_ln_{part}{suffix}"][0] for part in ("scale", "bias"))
        return x * scale + bias

    def before(self, name: str, x: Array) -> Array:
        """The operations before a layer."""
        return self.norm(name, x, "_pre") if "n" in self.options["transformer-preprocess"] else x

    def after(self, name: str, x: Array, residual: Array) -> Array:
        """The operations after a layer."""
        for operation in self.options["transformer-postprocess"]:
            if operation == "a":
                x = x + residual
            elif operation == "n":
                x = self.norm(name, x, "")
        return x

    def top(self, stack: str, x: Array) -> Array:
        """The operations after a stack."""
        has_norm = "n" in (self.options.get("transformer-postprocess-top") or "")
        return self.norm(f"{stack}_top", x, "") if has_norm else x

    def linear(self, prefix: str, suffix: str, x: Array) -> Array:
        """x W + b."""
        bias = self.tensors.get(f"{prefix}_b{suffix}", np.zeros(1))
        return x @ self.tensors[f"{prefix}_W{suffix}"] + bias

    def attention(self, prefix: str, queries: Array, memory: Array) -> Array:
        """Attention without a mask: (T, D) to (S, D)."""
        heads = self.options["transformer-heads"]
        q, k, v = (
            self.linear(prefix, letter, x).reshape(len(x), heads, -1).swapaxes(0, 1)
            for letter, x in (("q", queries), ("k", memory), ("v", memory))
        )
        scores = q @ k.swapaxes(1, 2) / math.sqrt(self.width / heads)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self.linear(prefix, "o", (weights @ v).swapaxes(0, 1).reshape(len(queries), -1))

    def feed_forward(self, prefix: str, x: Array) -> Array:
        """The feed-forward network and what stands around it."""
        y = self.before(f"{prefix}_ffn_ffn", x)
        y = self.activation(self.linear(f"{prefix}_ffn", "1", y))
        return self.after(f"{prefix}_ffn_ffn", self.linear(f"{prefix}_ffn", "2", y), x)


class _Steps:
    """The decoder, a token at a time: it keeps what each layer has read, or its one vector."""

    def __init__(self, oracle: MarianOracle, encoded: Array) -> None:
        self._oracle = oracle
        self._encoded = encoded
        self._past: dict[str, Any] = {}
        self._position = 0

    def next(self, token: int | None) -> Array:
        """(V): the logits after `token`; None begins."""
        oracle = self._oracle
        rows = np.zeros((1, oracle.width)) if token is None else oracle.target_table[[token]]
        x = oracle.embedded("decoder", rows, self._position)
        for layer in range(1, oracle.options["dec-depth"] + 1):
            prefix = f"decoder_l{layer}"
            kind = oracle.options.get("transformer-decoder-autoreg", "self-attention")
            x = {"self-attention": self._attention, "rnn": self._ssru,
                 "average-attention": self._average}[kind](prefix, x)  # fmt: skip
            y = oracle.before(f"{prefix}_context_Wo", x)
            y = oracle.attention(f"{prefix}_context", y, self._encoded)
            x = oracle.after(f"{prefix}_context_Wo", y, x)
            x = oracle.feed_forward(prefix, x)
        self._position += 1
        return (oracle.top("decoder", x) @ oracle.output + oracle.output_bias)[0]

    def _attention(self, prefix: str, x: Array) -> Array:
        y = self._oracle.before(f"{prefix}_self_Wo", x)
        self._past[prefix] = read = np.concatenate([self._past.get(prefix, y[:0]), y])
        y = self._oracle.attention(f"{prefix}_self", y, read)
        return self._oracle.after(f"{prefix}_self_Wo", y, x)

    def _ssru(self, prefix: str, x: Array) -> Array:
        oracle = self._oracle
        y = oracle.before(f"{prefix}_rnn", x)
        forget = _sigmoid(oracle.linear(f"{prefix}_rnn", "f", y))
        new = y @ oracle.tensors[f"{prefix}_rnn_W"]
        self._past[prefix] = forget * self._past.get(prefix, 0.0) + (1 - forget) * new
        return oracle.after(f"{prefix}_rnn_ffn", np.maximum(self._past[prefix], 0), x)

    def _average(self, prefix: str, x: Array) -> Array:
        oracle = self._oracle
        mean = (self._past.get(prefix, 0.0) * self._position + x) / (self._position + 1)
        self._past[prefix] = mean
        y = oracle.before(f"{prefix}_aan_ffn", mean)
        if f"{prefix}_aan_W1" in oracle.tensors:
            inner = oracle.linear(f"{prefix}_aan", "1", y)
            y = oracle.linear(f"{prefix}_aan", "2", inner * _sigmoid(inner))
        keep = _sigmoid(oracle.linear(f"{prefix}_aan", "i", x))
        take = _sigmoid(oracle.linear(f"{prefix}_aan", "f", y))
        return oracle.after(f"{prefix}_aan_ffn", keep * x + take * y, x)
