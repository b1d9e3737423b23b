"""Sources one behind the other, without padding between them, as the encoder wants them."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
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

    flat: NDArray[np.int32]
    """Both of the following, which view it, in one piece."""
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


def pack(
    sequences: SequenceOf[Sequence],
    leads: NDArray[np.int32],
    lengths: NDArray[np.int32],
    buckets: list[int],
    pad_id: int,
) -> Iterator[PackedSources]:
    """All sources, in their order, in batches that fill the largest bucket at most.

    Args:
        sequences: S of them, at least one.
        leads: (S,) the first slot of each.
        lengths: (S,) tokens of each.
        buckets: sizes of batches.
        pad_id: fills what is left of them.
    """
    # All at once, however many batches it becomes: calls of NumPy cost more than what they do here.
    num_blocks = (lengths + (PACKED_BLOCK - 1)) // PACKED_BLOCK
    ends, block_ends = lengths.cumsum(dtype=np.int32), num_blocks.cumsum(dtype=np.int32)
    tokens = _tokens(sequences, leads, lengths, ends)
    blocks = _blocks(lengths, ends, num_blocks, block_ends)
    most, most_blocks = buckets[-1], max_blocks(buckets[-1])
    begin = first_token = first_block = 0
    while begin < len(sequences):
        fits = ends.searchsorted(first_token + most, side="right")
        fits = min(fits, block_ends.searchsorted(first_block + most_blocks, side="right"))
        begin = max(begin + 1, int(fits))
        last_token, last_block = int(ends[begin - 1]), int(block_ends[begin - 1])
        batch = blocks[first_block:last_block] - np.int32(first_token)
        yield _padded(tokens[:, first_token:last_token], batch, buckets, pad_id)
        first_token, first_block = last_token, last_block


def _tokens(
    sequences: SequenceOf[Sequence],
    leads: NDArray[np.int32],
    lengths: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> NDArray[np.int32]:
    """(3, N) as in PackedSources, of all N tokens."""
    tokens = np.empty((3, ends[-1]), dtype=np.int32)
    tokens[0] = np.frombuffer(b"".join([sequence.source for sequence in sequences]), np.int32)
    tokens[1] = leads.repeat(lengths)
    tokens[2] = np.arange(ends[-1], dtype=np.int32) - (ends - lengths).repeat(lengths)
    return tokens


def _blocks(
    lengths: NDArray[np.int32],
    ends: NDArray[np.int32],
    num_blocks: NDArray[np.int32],
    block_ends: NDArray[np.int32],
) -> NDArray[np.int32]:
    """(B, 3) as in PackedSources, of all B blocks."""
    blocks = np.empty((block_ends[-1], 3), dtype=np.int32)
    starts = ends - lengths
    # The first block of each source begins where this does, and the others behind it.
    first = starts - PACKED_BLOCK * (block_ends - num_blocks)
    blocks[:, 0] = PACKED_BLOCK * np.arange(len(blocks), dtype=np.int32) + first.repeat(num_blocks)
    blocks[:, 1] = starts.repeat(num_blocks)
    blocks[:, 2] = ends.repeat(num_blocks)
    return blocks


def _padded(
    tokens: NDArray[np.int32], blocks: NDArray[np.int32], buckets: list[int], pad_id: int
) -> PackedSources:
    """One batch, in the smallest bucket that has room for it."""
    num_tokens, num_blocks = tokens.shape[1], len(blocks)
    bucket = next(
        bucket for bucket in buckets if num_tokens <= bucket and num_blocks <= max_blocks(bucket)
    )
    flat = np.zeros(3 * (bucket + max_blocks(bucket)), dtype=np.int32)
    all_tokens, all_blocks = flat[: 3 * bucket].reshape(3, -1), flat[3 * bucket :].reshape(-1, 3)
    all_tokens[:, :num_tokens] = tokens
    all_tokens[0, num_tokens:] = pad_id
    all_tokens[1, num_tokens:] = -1
    all_blocks[:num_blocks] = blocks
    return PackedSources(flat, all_tokens, all_blocks)
