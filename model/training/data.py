"""Parallel text to batches: read, tokenise, filter, draw an epoch, bucket by length.

Everything is a function of the recipe, the seed and the epoch, so that a run which was interrupted
goes on with the batch that comes next.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import sentencepiece

from model.errors import RecipeError
from model.tokenizer import Tokenizer
from model.training.recipe import CorpusRecipe, DataRecipe, TokenizerRecipe

__all__ = [
    "Batch",
    "TokenizedCorpus",
    "batches_of_epoch",
    "learn_tokenizer",
    "read_pairs",
    "tokenize",
]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TokenizedCorpus:
    """One corpus as two flat arrays: pair i is `flat[offsets[i]:offsets[i + 1]]` of each side."""

    recipe: CorpusRecipe
    src_flat: npt.NDArray[np.int32]
    src_offsets: IntArray
    tgt_flat: npt.NDArray[np.int32]
    tgt_offsets: IntArray

    def __len__(self) -> int:
        return len(self.src_offsets) - 1

    @property
    def src_lengths(self) -> IntArray:
        """Tokens of each source, (pairs,)."""
        return np.diff(self.src_offsets)

    @property
    def tgt_lengths(self) -> IntArray:
        """Tokens of each target, (pairs,)."""
        return np.diff(self.tgt_offsets)


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


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """The pairs of a `source<TAB>target` file, .xz and .gz unpacked.

    Raises:
        RecipeError: the file cannot be read, or a line has not exactly one tab.
    """
    openers = {".xz": lzma.open, ".gz": gzip.open}
    opener = openers.get(path.suffix, open)
    try:
        raw: IO[bytes] = opener(path, "rb")  # type: ignore[operator]
        with raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                sides = line.rstrip("\r\n").split("\t")
                if len(sides) != 2:
                    raise RecipeError(
                        f"{path}, line {number} must be source<TAB>target, "
                        f"but has {len(sides) - 1} tabs"
                    )
                yield sides[0], sides[1]
    except (OSError, UnicodeDecodeError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from error


def learn_tokenizer(recipe: TokenizerRecipe, data: DataRecipe, root: Path, seed: int) -> Tokenizer:
    """Trains the joint vocabulary on a sample of all training text, corpora by their weights."""
    generator = np.random.default_rng(seed)
    lines: list[str] = []
    for corpus in data.train:
        pairs = list(read_pairs(root / corpus.path))
        share = min(1.0, corpus.weight)
        chosen = generator.random(len(pairs)) < share
        for (source, target), keep in zip(pairs, chosen, strict=True):
            if keep:
                lines += (source, target)
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
    return Tokenizer(serialized.getvalue())


def tokenize(
    corpus: CorpusRecipe, data: DataRecipe, root: Path, tokenizer: Tokenizer
) -> TokenizedCorpus:
    """Reads one corpus and leaves out pairs that are blank, too long or too unequal."""
    pairs = list(read_pairs(root / corpus.path))
    kept_src: list[list[int]] = []
    kept_tgt: list[list[int]] = []
    sources = tokenizer.tokenize_batch([source for source, _ in pairs], num_threads=2)
    targets = tokenizer.tokenize_batch([target for _, target in pairs], num_threads=2)
    for src, tgt in zip(sources, targets, strict=True):
        shorter, longer = sorted((len(src), len(tgt)))
        unequal = longer > 8 and longer > data.max_length_ratio * shorter
        if shorter and longer < data.max_tokens and not unequal:
            kept_src.append([*src, tokenizer.eos_id])
            kept_tgt.append([*tgt, tokenizer.eos_id])
    src_flat, src_offsets = _flatten(kept_src)
    tgt_flat, tgt_offsets = _flatten(kept_tgt)
    return TokenizedCorpus(
        recipe=corpus,
        src_flat=src_flat,
        src_offsets=src_offsets,
        tgt_flat=tgt_flat,
        tgt_offsets=tgt_offsets,
    )


def batches_of_epoch(
    corpora: Sequence[TokenizedCorpus],
    *,
    epoch: int,
    seed: int,
    batch_tokens: int,
    pad_id: int,
    bos_id: int,
    skip: int = 0,
) -> Iterator[Batch]:
    """One epoch's batches in random order, each of pairs of about one length.

    Args:
        skip: leave out so many batches: where an interrupted run goes on.
    """
    generator = np.random.default_rng((seed, epoch))
    corpus_of, pair_of = _draw(corpora, epoch, generator)
    lengths = np.empty((2, len(pair_of)), dtype=np.int64)
    for index, corpus in enumerate(corpora):
        mine = corpus_of == index
        lengths[0, mine] = corpus.src_lengths[pair_of[mine]]
        lengths[1, mine] = corpus.tgt_lengths[pair_of[mine]]
    # Sorted by the longer side, then the other; ties fall in the random order of the draw.
    order = np.lexsort((lengths.min(axis=0), lengths.max(axis=0)))
    bounds = _cut(lengths.max(axis=0)[order], batch_tokens)
    for start, end in generator.permutation(bounds)[skip:]:
        chosen = order[start:end]
        pairs = [_pair(corpora[corpus_of[i]], int(pair_of[i])) for i in chosen]
        yield _pad(pairs, pad_id, bos_id)


def _draw(
    corpora: Sequence[TokenizedCorpus], epoch: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Which pairs of which corpora this epoch sees, shuffled: (pairs,) and (pairs,)."""
    corpus_of: list[IntArray] = []
    pair_of: list[IntArray] = []
    for index, corpus in enumerate(corpora):
        until = corpus.recipe.until_epoch
        if until is not None and epoch >= until:
            continue
        whole, rest = divmod(corpus.recipe.weight, 1.0)
        size = len(corpus)
        part = generator.permutation(size)[: round(rest * size)]
        pairs = np.concatenate([*[np.arange(size)] * int(whole), part]).astype(np.int64)
        pair_of.append(pairs)
        corpus_of.append(np.full(len(pairs), index, dtype=np.int64))
    if not pair_of or not sum(map(len, pair_of)):
        raise RecipeError(f"epoch {epoch} has no pair to train on: see the corpora's weights")
    shuffle = generator.permutation(sum(map(len, pair_of)))
    return np.concatenate(corpus_of)[shuffle], np.concatenate(pair_of)[shuffle]


def _cut(sorted_lengths: IntArray, batch_tokens: int) -> IntArray:
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


def _pair(corpus: TokenizedCorpus, index: int) -> tuple[npt.NDArray[np.int32], ...]:
    return (
        corpus.src_flat[corpus.src_offsets[index] : corpus.src_offsets[index + 1]],
        corpus.tgt_flat[corpus.tgt_offsets[index] : corpus.tgt_offsets[index + 1]],
    )


def _pad(pairs: Sequence[tuple[npt.NDArray[np.int32], ...]], pad_id: int, bos_id: int) -> Batch:
    src_lengths = np.array([len(src) for src, _ in pairs], dtype=np.int64)
    tgt_lengths = np.array([len(tgt) for _, tgt in pairs], dtype=np.int64)
    src_tokens = np.full((len(pairs), src_lengths.max()), pad_id, dtype=np.int64)
    tgt_output = np.full((len(pairs), tgt_lengths.max()), pad_id, dtype=np.int64)
    for row, (src, tgt) in enumerate(pairs):
        src_tokens[row, : len(src)] = src
        tgt_output[row, : len(tgt)] = tgt
    tgt_input = np.full_like(tgt_output, bos_id)
    tgt_input[:, 1:] = tgt_output[:, :-1]
    return Batch(
        src_tokens=src_tokens,
        src_lengths=src_lengths,
        tgt_input=tgt_input,
        tgt_output=tgt_output,
        num_target_tokens=int(tgt_lengths.sum()),
    )


def _flatten(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], IntArray]:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    flat = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=offsets[-1])
    return flat, offsets
