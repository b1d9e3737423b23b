"""Tokenised text to batches: draw an epoch, bring together what is of one length, pad.

Everything is a function of the recipe, the seed and the epoch, so that a run which was interrupted
goes on with the batch that comes next, and several processes agree on who takes which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import RecipeError
from model.training.corpus import IntArray, TokenizedText

__all__ = ["Batch", "Epoch", "PlannedBatch"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded on the right; `eos` ends every source and every `tgt_output`."""

    src_tokens: IntArray
    """(B, S)."""
    src_lengths: IntArray
    """(B,)."""
    tgt_input: IntArray
    """(B, T), begins with `bos`."""
    tgt_output: IntArray
    """(B, T), what to predict; `pad` behind the end."""
    num_target_tokens: int


class Epoch:
    """One epoch's batches in random order, each of pairs of about one length.

    Args:
        epoch: counted from 0.
        batch_tokens: most tokens of the longer side, padding included.

    Raises:
        RecipeError: no corpus has a pair for this epoch.
    """

    def __init__(
        self, text: TokenizedText, *, epoch: int, seed: int, batch_tokens: int, pad_id: int,
        bos_id: int,
    ) -> None:  # fmt: skip
        generator = np.random.default_rng((seed, epoch))
        drawn = _draw(text, epoch, generator)
        src_lengths, tgt_lengths = text.src.lengths[drawn], text.tgt.lengths[drawn]
        shorter, longer = np.minimum(src_lengths, tgt_lengths), np.maximum(src_lengths, tgt_lengths)
        # Sorted by the longer side, then the other; ties fall in the random order of the draw.
        order = np.lexsort((shorter, longer))
        self._text, self._pad_id, self._bos_id = text, pad_id, bos_id
        self._pairs = drawn[order]
        self._bounds = generator.permutation(_cut(longer[order], batch_tokens))
        self._source_tokens = self._sums(src_lengths[order])
        self._target_tokens = self._sums(tgt_lengths[order])

    def __len__(self) -> int:
        return len(self._bounds)

    def batches(self, skip: int = 0) -> Iterator[PlannedBatch]:
        """All batches but the first `skip`, where an interrupted run goes on."""
        for index in range(skip, len(self)):
            source, target = int(self._source_tokens[index]), int(self._target_tokens[index])
            yield PlannedBatch(self, index, source, target)

    def _sums(self, lengths: IntArray) -> IntArray:
        """Tokens of each batch, (batches,), of tokens of each pair."""
        until: IntArray = np.concatenate(([0], lengths.cumsum())).astype(np.int64)
        return np.asarray(until[self._bounds[:, 1]] - until[self._bounds[:, 0]])

    def make(self, index: int) -> Batch:
        """Batch `index` of the epoch."""
        start, end = self._bounds[index]
        pairs = self._pairs[start:end]
        src_tokens = self._text.src.padded(pairs, self._pad_id)
        tgt_output = self._text.tgt.padded(pairs, self._pad_id)
        tgt_input = np.full_like(tgt_output, self._bos_id)
        tgt_input[:, 1:] = tgt_output[:, :-1]
        return Batch(
            src_tokens=src_tokens,
            src_lengths=self._text.src.lengths[pairs],
            tgt_input=tgt_input,
            tgt_output=tgt_output,
            num_target_tokens=int(self._target_tokens[index]),
        )


@dataclass(frozen=True)
class PlannedBatch:
    """A batch that is made when it is needed: by one of several processes."""

    epoch: Epoch
    index: int
    num_source_tokens: int
    num_target_tokens: int

    def make(self) -> Batch:
        """The batch itself."""
        return self.epoch.make(self.index)


def _draw(text: TokenizedText, epoch: int, generator: np.random.Generator) -> IntArray:
    """Which pairs this epoch sees, shuffled: (pairs,)."""
    drawn: list[IntArray] = []
    for corpus, first, last in text.parts:
        if corpus.until_epoch is not None and epoch >= corpus.until_epoch:
            continue
        whole, rest = divmod(corpus.weight, 1.0)
        size = last - first
        some = generator.permutation(size)[: round(rest * size)]
        drawn.append(first + np.concatenate([*[np.arange(size)] * int(whole), some]))
    if not sum(map(len, drawn)):
        raise RecipeError(f"epoch {epoch} has no pair to train on: see the corpora's weights")
    return generator.permutation(np.concatenate(drawn).astype(np.int64))


def _cut(sorted_lengths: IntArray, batch_tokens: int) -> npt.NDArray[np.int64]:
    """(start, end) of consecutive rows of at most `batch_tokens` with padding: (batches, 2)."""
    bounds = []
    start = 0
    while start < len(sorted_lengths):
        end = start + max(1, batch_tokens // int(sorted_lengths[start]))
        end = min(end, len(sorted_lengths))
        # Lengths rise, so the last row is the longest: shrink until it fits.
        while end - start > 1 and (end - start) * int(sorted_lengths[end - 1]) > batch_tokens:
            end -= 1
        bounds.append((start, end))
        start = end
    return np.array(bounds, dtype=np.int64)
