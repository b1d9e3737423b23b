"""Which target ids each source id is likely to become: others need not be scored.

The file holds `offsets` and `ids`, and `first`, one number: see `Shortlist`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.checkpoints.files import SHORTLIST_FILE, read_file
from model.config import TransformerConfig
from model.errors import CheckpointError
from model.network.memory import shortlist_limit

__all__ = ["Shortlist", "read_shortlist"]

_DTYPES = {"offsets": np.int64, "ids": np.int32, "first": np.int64}
_BYTES_PER_ID = 2048
"""Most of the file for each source id: 500 targets; usual are 50."""
_MOST_TARGETS = 1024
"""Most targets of one source id."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shortlist:
    """The likely target ids of each source id. Safe to use from several threads."""

    first: int
    """So many target ids, from 0 on, are always likely: the most frequent ones."""
    offsets: NDArray[np.int64]
    """(source ids + 1): where in `ids` those of a source id begin; the last is the end. Source ids
    beyond have none."""
    ids: NDArray[np.int32]
    """Target ids, those of each source id in turn."""

    def check(self, config: TransformerConfig) -> None:
        """Holds it against the shape of a model.

        Raises:
            CheckpointError: an offset or an id is out of bounds, or too many are likely.
        """
        offsets, ids = self.offsets, self.ids
        if offsets.ndim != 1 or not 1 <= len(offsets) <= config.src_vocab_size + 1:
            raise CheckpointError(
                f"a shortlist must have offsets for at most {config.src_vocab_size} source ids, "
                f"but has {offsets.shape}"
            )
        rises = offsets[0] == 0 and offsets[-1] == ids.size and (np.diff(offsets) >= 0).all()
        if ids.ndim != 1 or not rises:
            raise CheckpointError(
                f"a shortlist must have offsets that rise from 0 to {ids.size}, but has not"
            )
        within = not ids.size or (ids.min() >= 0 and ids.max() < config.tgt_vocab_size)
        if not within or not 0 <= self.first <= config.tgt_vocab_size:
            raise CheckpointError(
                f"a shortlist must have target ids below {config.tgt_vocab_size}, but has others"
            )
        longest = int(np.diff(offsets).max(initial=0))
        for name, count, most in (
            ("first ids", self.first, shortlist_limit(config)),
            ("targets of a source id", longest, _MOST_TARGETS),
        ):
            if count > most:
                raise CheckpointError(
                    f"a shortlist must have at most {most} {name}, but has {count}"
                )

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return save(
            {
                "offsets": np.asarray(self.offsets, np.int64),
                "ids": np.asarray(self.ids, np.int32),
                "first": np.array([self.first], np.int64),
            }
        )

    def candidates(
        self, source_ids: Iterable[int], config: TransformerConfig
    ) -> NDArray[np.int32] | None:
        """The target ids that may be predicted for a source, in ascending order.

        They are the first ones, the likely ones of each of its ids, those ids themselves where both
        sides share their vocabulary, and the end token. None, which is all, if they are more than
        `shortlist_limit`: a runner copies their rows of the projection for each sequence.
        """
        likely = np.zeros(config.tgt_vocab_size, dtype=np.bool_)
        likely[: self.first] = True
        likely[config.eos_id] = True
        source = np.array(list(set(source_ids)), dtype=np.int64)
        if config.shared_embeddings:
            likely[source] = True
        listed = source[source < len(self.offsets) - 1]
        bounds = zip(self.offsets[listed].tolist(), self.offsets[listed + 1].tolist(), strict=True)
        lists = [self.ids[begin:end] for begin, end in bounds]
        likely[np.concatenate([self.ids[:0], *lists])] = True
        candidates = np.flatnonzero(likely).astype(np.int32)
        return candidates if candidates.size <= shortlist_limit(config) else None


def read_shortlist(directory: Path, config: TransformerConfig) -> Shortlist:
    """Reads and checks the shortlist of a model directory.

    Raises:
        CheckpointError: it is missing or damaged, or does not fit the model.
    """
    content = read_file(directory, SHORTLIST_FILE)
    most = 2**20 + _BYTES_PER_ID * config.src_vocab_size
    if len(content) > most:
        raise CheckpointError(
            f"{SHORTLIST_FILE} of {directory} must have at most {most} bytes for "
            f"{config.src_vocab_size} source ids, but has {len(content)}"
        )
    try:
        arrays = load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(f"cannot read {directory / SHORTLIST_FILE}: {error}") from error
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        raise CheckpointError(
            f"{directory / SHORTLIST_FILE} must have {', '.join(_DTYPES)} in 64, 32 and 64 bits, "
            f"but has {', '.join(f'{name[:50]} ({each.dtype})' for name, each in arrays.items())}"
        )
    if arrays["first"].shape != (1,):
        raise CheckpointError(f"{directory / SHORTLIST_FILE} must have one number as `first`")
    shortlist = Shortlist(
        first=int(arrays["first"][0]), offsets=arrays["offsets"], ids=arrays["ids"]
    )
    try:
        shortlist.check(config)
    except CheckpointError as error:
        raise CheckpointError(f"{directory / SHORTLIST_FILE}: {error}") from error
    return shortlist
