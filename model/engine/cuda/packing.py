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
        sequences: S of them.
        leads: (S,) the first slot of each.
        lengths: (S,) tokens of each.
        buckets: sizes of batches.
        pad_id: fills what is left of them.
    """
    most, most_blocks = buckets[-1], max_blocks(buckets[-1])
    num_blocks = (lengths + (PACKED_BLOCK - 1)) // PACKED_BLOCK
    begin = 0
    while begin < len(sequences):
        end = len(sequences)
        if lengths[begin:].sum() > most or num_blocks[begin:].sum() > most_blocks:
            fits = lengths[begin:].cumsum() <= most
            fits &= num_blocks[begin:].cumsum() <= most_blocks
            end = begin + max(1, int(np.count_nonzero(fits)))
        tokens = b"".join([sequence.source for sequence in sequences[begin:end]])
        part = slice(begin, end)
        yield _packed(tokens, leads[part], lengths[part], num_blocks[part], buckets, pad_id)
        begin = end


def _packed(
    token_ids: bytes,
    leads: NDArray[np.int32],
    lengths: NDArray[np.int32],
    num_blocks: NDArray[np.int32],
    buckets: list[int],
    pad_id: int,
) -> PackedSources:
    num_tokens, used_blocks = len(token_ids) // 4, int(num_blocks.sum())
    bucket = next(
        bucket for bucket in buckets if num_tokens <= bucket and used_blocks <= max_blocks(bucket)
    )
    flat = np.zeros(3 * (bucket + max_blocks(bucket)), dtype=np.int32)
    tokens, blocks = flat[: 3 * bucket].reshape(3, -1), flat[3 * bucket :].reshape(-1, 3)
    ends = lengths.cumsum(dtype=np.int32)
    starts = ends - lengths
    tokens[0, :num_tokens] = np.frombuffer(token_ids, dtype=np.int32)
    tokens[0, num_tokens:] = pad_id
    tokens[1, :num_tokens] = leads.repeat(lengths)
    tokens[1, num_tokens:] = -1
    tokens[2, :num_tokens] = np.arange(num_tokens, dtype=np.int32) - starts.repeat(lengths)
    used = blocks[:used_blocks]
    # The first block of each source begins where this does, and the others behind it.
    first = starts - PACKED_BLOCK * (num_blocks.cumsum(dtype=np.int32) - num_blocks)
    used[:, 0] = PACKED_BLOCK * np.arange(used_blocks, dtype=np.int32) + first.repeat(num_blocks)
    used[:, 1] = starts.repeat(num_blocks)
    used[:, 2] = ends.repeat(num_blocks)
    return PackedSources(flat, tokens, blocks)
