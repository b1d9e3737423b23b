"""Hypotheses of one source, decoded position by position with what they keep: no torch in here.

What `Transformer.decode_step` does, in NumPy, of one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.config import TransformerConfig
from model.network.sentence_pass import SentencePass, softmax
from model.network.weights import Floats, Weights

if TYPE_CHECKING:
    from model.network.transformer import Transformer

__all__ = ["StepDecoder"]

_KEPT_BYTES = 256 * 2**20
"""Bytes of weights that are kept from step to step; what is beyond is read anew each time."""


class StepDecoder(SentencePass):
    """The decoder with the past of each hypothesis of one source.

    Args:
        weights: of the model, in float32.
        source_ids: S of them, as the encoder reads them.
        check: called before each layer; may raise.
    """

    def __init__(
        self, weights: Weights, source_ids: Sequence[int], check: Callable[[], None]
    ) -> None:
        super().__init__(_KeptWeights(weights, _KEPT_BYTES), check)
        self._encoder_output = SentencePass(weights, check).encode(source_ids, [])
        self._num_tokens = 0
        self._past: dict[str, Floats] = {}
        """What a layer knows of each hypothesis: keys and values (B, H, t, K), a state (B, D)."""
        self._of_source: dict[str, Floats] = {}
        """The keys and values of the source, (H, S, K)."""

    def step(self, token_ids: Sequence[int]) -> tuple[Floats, Floats]:
        """Takes in a token of each hypothesis.

        Args:
            token_ids: B of them, the last token of each.

        Returns:
            Logits (B, V), and how much the alignment heads together attend to the source (B, S).
        """
        maps: list[Floats] = []
        place = [self._num_tokens]
        self._num_tokens += 1
        x = self.decode(token_ids, place, self._encoder_output, [], maps)
        attention = np.zeros((len(token_ids), len(self._encoder_output)), np.float32)
        for layer, weights in enumerate(maps):
            attention += weights[list(self._config.alignment_heads_of(layer))].sum(axis=0)
        return self.project(x), attention

    def reorder(self, parents: Sequence[int]) -> None:
        """Gives each hypothesis the past of another, B of them."""
        rows = list(parents)
        self._past = {name: each[rows] for name, each in self._past.items()}

    def _heads(
        self, name: str, x: Floats, keys_from: Floats, *, past: bool
    ) -> tuple[Floats, Floats]:
        """See `SentencePass`: each row of x is a hypothesis, with a past of its own."""
        query = self._split(f"{name}.q_proj", x)
        scale = np.float32(math.sqrt(query.shape[-1]))
        if not past:
            keys, values = (self._source(f"{name}.{part}", keys_from) for part in _PARTS)
            weights = softmax(query @ keys.transpose(0, 2, 1) / scale)
            return self._joined(name, weights @ values), weights
        keys, values = (self._grown(f"{name}.{part}", x) for part in _PARTS)
        of_rows = query.transpose(1, 0, 2)[:, :, None]
        weights = softmax(of_rows @ keys.transpose(0, 1, 3, 2) / scale)
        read = (weights @ values)[:, :, 0].transpose(1, 0, 2)
        return self._joined(name, read), weights[:, :, 0].transpose(1, 0, 2)

    def _source(self, name: str, encoder_output: Floats) -> Floats:
        if name not in self._of_source:
            self._of_source[name] = self._split(name, encoder_output)
        return self._of_source[name]

    def _grown(self, name: str, x: Floats) -> Floats:
        """(B, H, t, K) with what this position adds."""
        new = self._split(name, x).transpose(1, 0, 2)[:, :, None]
        before = self._past.get(name)
        self._past[name] = new if before is None else np.concatenate([before, new], axis=2)
        return self._past[name]

    def _mean(self, at: str, x: Floats) -> Floats:
        total = self._past[at] = self._past.get(at, np.float32(0)) + x
        mean: Floats = (total / np.float32(self._num_tokens)).astype(np.float32)
        return mean

    def _states(self, name: str, forget: Floats, update: Floats) -> Floats:
        state = self._past[name] = forget * self._past.get(name, np.float32(0)) + update
        return state


_PARTS = ("k_proj", "v_proj")


class _KeptWeights:
    """Weights of which so many bytes are kept once they have been read: see `Weights`."""

    def __init__(self, weights: Weights, most_bytes: int) -> None:
        self._weights = weights
        self._left = most_bytes
        self._kept: dict[str, Floats] = {}

    @property
    def config(self) -> TransformerConfig:
        return self._weights.config

    def array(self, name: str) -> Floats:
        if (kept := self._kept.get(name)) is not None:
            return kept
        array = self._weights.array(name)
        if array.nbytes <= self._left:
            self._left -= array.nbytes
            self._kept[name] = array
        return array

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        return self._weights.rows(name, numbers)

    def transformer(self) -> Transformer:
        return self._weights.transformer()
