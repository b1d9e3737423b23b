"""Parallel text as token ids: learn the vocabulary, make each side one flat array."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece

from model.engine.cpus import granted_cpus
from model.errors import RecipeError
from model.text.protection import Protection
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import PLACEHOLDER, PLACEHOLDERS
from model.training.placeholders import all_with_placeholders
from model.training.recipe import CorpusRecipe, DataRecipe, Recipe
from model.training.run_folder import written_whole
from model.training.variations import Pair

__all__ = ["IntArray", "Rows", "TokenizedText", "encode", "learn_tokenizer", "tokenize"]

IntArray = npt.NDArray[np.int64]

_TEXTS_AT_ONCE = 20_000


class Rows:
    """Rows of token ids of different lengths in one flat array, the end token in each.

    Args:
        flat: (tokens,) all rows, one behind the other.
        lengths: (rows,).
    """

    def __init__(self, flat: npt.NDArray[np.int32], lengths: IntArray) -> None:
        self.flat = flat
        self.lengths = lengths
        self._starts = lengths.cumsum() - lengths

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Rows:
        """Rows of ids, (rows, different)."""
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        tokens = (token for row in rows for token in row)
        return cls(np.fromiter(tokens, dtype=np.int32, count=int(lengths.sum())), lengths)

    @classmethod
    def joined(cls, portions: Sequence[Rows]) -> Rows:
        """The rows of all portions."""
        return cls(
            np.concatenate([np.empty(0, dtype=np.int32), *(each.flat for each in portions)]),
            np.concatenate([np.empty(0, dtype=np.int64), *(each.lengths for each in portions)]),
        )

    def where(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        """The rows for which `chosen` (rows,) is true."""
        return Rows(self.flat[np.repeat(chosen, self.lengths)], self.lengths[chosen])

    def padded(self, rows: IntArray, pad_id: int) -> IntArray:
        """The chosen rows (B,) as (B, T), `pad_id` behind their ends."""
        lengths = self.lengths[rows]
        columns = np.arange(int(lengths.max()))
        inside = columns < lengths[:, None]
        tokens = np.full(inside.shape, pad_id, dtype=np.int64)
        tokens[inside] = self.flat[(self._starts[rows][:, None] + columns)[inside]]
        return tokens


@dataclass(frozen=True, kw_only=True)
class TokenizedText:
    """Everything that a run trains on: pair i is row i of both sides."""

    src: Rows
    tgt: Rows
    parts: tuple[tuple[CorpusRecipe, int, int], ...]
    """Each corpus with its first pair and the one behind its last."""

    def __len__(self) -> int:
        return len(self.src.lengths)

    def save(self, path: Path) -> None:
        """Keeps the ids, for `load`."""
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                src_flat=self.src.flat,
                src_lengths=self.src.lengths,
                tgt_flat=self.tgt.flat,
                tgt_lengths=self.tgt.lengths,
                bounds=np.array([part[1:] for part in self.parts], dtype=np.int64),
            )

    @classmethod
    def load(cls, path: Path, recipe: Recipe) -> TokenizedText:
        """What `save` kept of the corpora of `recipe`."""
        with np.load(path) as kept:
            parts = zip(recipe.data.train, kept["bounds"].tolist(), strict=True)
            return cls(
                src=Rows(kept["src_flat"], kept["src_lengths"]),
                tgt=Rows(kept["tgt_flat"], kept["tgt_lengths"]),
                parts=tuple((corpus, first, last) for corpus, (first, last) in parts),
            )


def learn_tokenizer(whole: Recipe, corpora: Iterable[list[Pair]]) -> Tokenizer:
    """Trains the joint vocabulary on a sample of all training text, corpora by their weights.

    Args:
        corpora: the pairs of each corpus of the recipe.
    """
    recipe = whole.tokenizer
    generator = np.random.default_rng(whole.training.seed)
    lines: list[str] = []
    for corpus, pairs in zip(whole.data.train, corpora, strict=True):
        share = min(1.0, corpus.weight)
        chosen = generator.random(len(pairs)) < share
        for (source, target), keep in zip(pairs, chosen, strict=True):
            if keep:
                # No vocabulary is to have pieces of placeholders: they have ids already.
                lines += (PLACEHOLDER.sub("", source), PLACEHOLDER.sub("", target))
    if len(lines) > recipe.sample_lines:
        picks = np.sort(generator.choice(len(lines), recipe.sample_lines, replace=False))
        lines = [lines[i] for i in picks]
    serialized = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(lines),
            model_writer=serialized,
            vocab_size=recipe.vocab_size,
            model_type=recipe.model_type,
            byte_fallback=recipe.byte_fallback,
            split_digits=recipe.split_digits,
            character_coverage=0.9999,
            pad_id=0, bos_id=1, eos_id=2, unk_id=3,
            num_threads=2,
            minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise RecipeError(f"the tokenizer could not be trained: {error}") from error
    return Tokenizer.of_sentencepiece(serialized.getvalue())


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Rows:
    """The ids of each text."""
    portions = []
    # In portions, because Python's numbers weigh ten times as much as the arrays'.
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        ids = tokenizer.tokenize_batch(
            texts[start : start + _TEXTS_AT_ONCE], num_threads=granted_cpus()
        )
        portions.append(Rows.of([[*each, tokenizer.eos_id] for each in ids]))
    return Rows.joined(portions)


def tokenize(recipe: Recipe, corpora: Iterable[list[Pair]], tokenizer: Tokenizer) -> TokenizedText:
    """Makes ids of the pairs of each corpus of the recipe, and leaves out those that do not fit.

    Args:
        corpora: the pairs of each, one after the other: only one is in memory as text.
    """
    protection = Protection(tokenizer) if recipe.placeholders else None
    generator = random.Random(recipe.training.seed)
    sources: list[Rows] = []
    targets: list[Rows] = []
    parts = []
    for corpus, pairs in zip(recipe.data.train, corpora, strict=True):
        first = sum(len(rows.lengths) for rows in sources)
        if protection is not None:
            firsts = [_some_first(generator) for _ in pairs]
            pairs = all_with_placeholders(protection, pairs, firsts, num_processes=granted_cpus())
        src = encode(tokenizer, [source for source, _ in pairs])
        tgt = encode(tokenizer, [target for _, target in pairs])
        fit = _fit(src.lengths - 1, tgt.lengths - 1, recipe.data)
        sources.append(src.where(fit))
        targets.append(tgt.where(fit))
        parts.append((corpus, first, sum(len(rows.lengths) for rows in sources)))
    return TokenizedText(src=Rows.joined(sources), tgt=Rows.joined(targets), parts=tuple(parts))


def _some_first(generator: random.Random) -> int:
    """Which placeholder a pair begins with: mostly the first, as when the model is used; now and
    then a later one, or the last would never be learnt."""
    return max(0, generator.randint(-len(PLACEHOLDERS), len(PLACEHOLDERS) - 1))


def _fit(src: IntArray, tgt: IntArray, data: DataRecipe) -> npt.NDArray[np.bool_]:
    """Which pairs can be trained on, of the lengths of both sides without the end token."""
    shorter, longer = np.minimum(src, tgt), np.maximum(src, tgt)
    unequal = (longer > 8) & (longer > data.max_length_ratio * shorter)
    return np.asarray((shorter > 0) & (longer < data.max_tokens) & ~unequal)
