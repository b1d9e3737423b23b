"""Sources one behind the other, without padding between them, as the encoder wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.engine.cuda.kernels.operations import PACKED_BLOCK
from model.engine.sequence import Sequence

__all__ = ["PackedSources", "buckets_for_sources", "max_blocks", "pack"]

_LARGEST_BUCKET = 2048
"""Tokens that are encoded at once: with as many, the products are at full speed."""

_TOKENS_PER_BLOCK = 8
"""A bucket has blocks of queries for sources of this length; shorter ones take a larger bucket."""


class PackedSources(NamedTuple):
    """What `DeviceModel.encode` reads, padded to the sizes of a bucket."""

    tokens: NDArray[np.int32]
    """(3, N): ids, leads, positions; the lead is -1 behind the last source."""
    blocks: NDArray[np.int32]
    """(max_blocks(N), 3): first query, start and end of its source; empty behind the last."""


def buckets_for_sources(max_positions: int) -> list[int]:
    """The numbers of tokens that there are graphs for; the longest source fits into the last."""
    buckets = [16]
    while buckets[-1] < max(_LARGEST_BUCKET, max_positions):
        buckets.append(buckets[-1] * 2)
    return buckets


def max_blocks(bucket: int) -> int:
    """Blocks of queries of a bucket."""
    return bucket // _TOKENS_PER_BLOCK


def pack(sequences: Iterable[Sequence], buckets: list[int], pad_id: int) -> Iterator[PackedSources]:
    """All sources, in their order, in batches that fill the largest bucket at most."""
    left = list(sequences)
    lengths = np.array([sequence.source_len for sequence in left], dtype=np.int32)
    most_blocks = max_blocks(buckets[-1])
    while left:
        tokens = np.cumsum(lengths)
        blocks = np.cumsum(-(-lengths // PACKED_BLOCK))
        count = max(1, int(np.count_nonzero((tokens <= buckets[-1]) & (blocks <= most_blocks))))
        yield _packed(left[:count], lengths[:count], buckets, pad_id)
        left, lengths = left[count:], lengths[count:]


def _packed(
    sequences: list[Sequence], lengths: NDArray[np.int32], buckets: list[int], pad_id: int
) -> PackedSources:
    num_tokens = int(lengths.sum())
    starts = _exclusive_sums(lengths)
    num_blocks = -(-lengths // PACKED_BLOCK)
    used_blocks = int(num_blocks.sum())
    bucket = next(
        bucket for bucket in buckets if num_tokens <= bucket and used_blocks <= max_blocks(bucket)
    )
    tokens = np.zeros((3, bucket), dtype=np.int32)
    tokens[:2] = [[pad_id], [-1]]
    ids = chain.from_iterable([sequence.source_ids for sequence in sequences])
    tokens[0, :num_tokens] = np.fromiter(ids, dtype=np.int32, count=num_tokens)
    leads = np.array([sequence.slots[0] for sequence in sequences], dtype=np.int32)
    tokens[1, :num_tokens] = leads.repeat(lengths)
    tokens[2, :num_tokens] = np.arange(num_tokens) - starts.repeat(lengths)

    blocks = np.zeros((max_blocks(bucket), 3), dtype=np.int32)
    used = blocks[:used_blocks]
    nth = np.arange(used_blocks) - _exclusive_sums(num_blocks).repeat(num_blocks)
    used[:, 1] = starts.repeat(num_blocks)
    used[:, 0] = used[:, 1] + nth * PACKED_BLOCK
    used[:, 2] = used[:, 1] + lengths.repeat(num_blocks)
    return PackedSources(tokens, blocks)


def _exclusive_sums(values: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.cumsum(values, dtype=np.int32) - values
