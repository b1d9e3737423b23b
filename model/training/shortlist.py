"""A shortlist for a model, learnt from parallel text: `python -m model.training.shortlist`.

Which target token a source token becomes is told by IBM's model 1 (Brown et al., 1993). The end
token, which every source has, takes the part of the empty word: what is said in any sentence.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.checkpoints.checkpoint import check_checkpoint, stored_weights, write_checkpoint
from model.checkpoints.shortlist import Shortlist
from model.network.shapes import weight_shapes
from model.training.text import read_pairs

__all__ = ["add_shortlist", "learn_shortlist"]

Ids = Sequence[int]

_MOST_TOKENS = 50
"""Most tokens of either side; longer pairs say little for much time."""
_MOST_CELLS = 30_000_000
"""Pairings of a source and a target token that are looked at: 240 MB."""
_ITERATIONS = 4
_LEAST_PROBABILITY = 1e-4


def learn_shortlist(
    pairs: Iterable[tuple[Ids, Ids]], *, src_vocab_size: int, first: int, best: int
) -> Shortlist:
    """The `best` most probable targets of each source id, and always the `first` ids.

    Args:
        pairs: token ids of either side, as many as there is room for; end tokens included.
        src_vocab_size: source ids.
        first: see Shortlist.
        best: most targets of a source id.
    """
    keys, groups = _cells(pairs)
    cells, inverse = np.unique(keys, return_inverse=True)
    del keys
    starts = groups.cumsum() - groups
    probabilities = np.ones(len(cells))
    for _ in range(_ITERATIONS):
        shares = probabilities[inverse]
        shares /= np.repeat(np.add.reduceat(shares, starts), groups)
        counts = np.bincount(inverse, shares)
        totals = np.bincount(cells >> 32, counts, minlength=src_vocab_size)
        probabilities = counts / totals[cells >> 32]
    likely = probabilities >= _LEAST_PROBABILITY
    sources, targets = cells[likely] >> 32, (cells[likely] & 0xFFFFFFFF).astype(np.int32)
    order = np.lexsort((-probabilities[likely], sources))
    sources, targets = sources[order], targets[order]
    rank = np.arange(len(sources)) - np.searchsorted(sources, sources)
    sources, targets = sources[rank < best], targets[rank < best]
    order = np.lexsort((targets, sources))
    sizes = np.bincount(sources, minlength=src_vocab_size)
    offsets = np.concatenate([[0], sizes.cumsum()]).astype(np.int64)
    return Shortlist(first=first, offsets=offsets, ids=targets[order])


def add_shortlist(
    directory: Path, files: Iterable[Path], to: Path, *, first: int, best: int
) -> Shortlist:
    """Writes the model of `directory` to `to`, with a shortlist learnt from `source<TAB>target`.

    Raises:
        CheckpointError: `directory` holds no model, or `to` something else.
        RecipeError: a file cannot be read.
        ValueError: the two sides of the model have vocabularies of their own.
    """
    manifest, tokenizer = check_checkpoint(directory)
    config = manifest.config
    if not config.shared_embeddings:
        raise ValueError(f"the model must have one vocabulary, but {directory} has two")
    pairs = (
        tuple((*tokenizer.tokenize(side), config.eos_id) for side in pair)
        for pair in chain.from_iterable(map(read_pairs, files))
    )
    shortlist = learn_shortlist(
        pairs,  # type: ignore[arg-type]
        src_vocab_size=config.src_vocab_size,
        first=first,
        best=best,
    )
    weights = stored_weights(directory, config)
    write_checkpoint(
        to,
        ((name, weights.array(name)) for name in weight_shapes(config)),
        config,
        tokenizer.files,
        replace(manifest.metadata, shortlist=True),
        manifest.generation,
        shortlist=shortlist,
    )
    return shortlist


def _cells(pairs: Iterable[tuple[Ids, Ids]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each source token with each target token of a pair: source * 2^32 + target, those of one
    target token side by side; and how many those are."""
    keys: list[npt.NDArray[np.int64]] = []
    groups: list[npt.NDArray[np.int64]] = []
    left = _MOST_CELLS
    for source, target in pairs:
        if max(len(source), len(target)) > _MOST_TOKENS:
            continue
        left -= len(source) * len(target)
        if left < 0:
            break
        of_source = np.array(source, dtype=np.int64) << 32
        keys.append((of_source + np.array(target, dtype=np.int64)[:, None]).ravel())
        groups.append(np.full(len(target), len(source), dtype=np.int64))
    return np.concatenate(keys), np.concatenate(groups)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model directory")
    parser.add_argument("pairs", type=Path, nargs="+", help="source<TAB>target, .xz or .gz or not")
    parser.add_argument("--to", type=Path, required=True, help="the directory to write")
    parser.add_argument("--first", type=int, default=500, help="ids that are always listed")
    parser.add_argument("--best", type=int, default=50, help="most targets of a source token")
    arguments = parser.parse_args()
    add_shortlist(
        arguments.model, arguments.pairs, arguments.to, first=arguments.first, best=arguments.best
    )


if __name__ == "__main__":
    main()
