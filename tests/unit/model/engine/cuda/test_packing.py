"""Sources one behind the other."""

from __future__ import annotations

import numpy as np
import pytest

from model.config import GenerationConfig
from model.decoding.token_ids import packed_ids
from model.engine.cuda.packing import PackedSources, buckets_for_sources, max_blocks, pack
from model.engine.sequence import Sequence

PAD = 9


def packed(lengths: list[int], buckets: list[int]) -> list[PackedSources]:
    """Sources of so many tokens: number n has the ids from 100 n on, and the lead 7 n + 3."""
    sequences = [
        Sequence(
            source=packed_ids(range(100 * number, 100 * number + length)),
            generation=GenerationConfig(),
            max_new_tokens=1,
            arrived_at=0.0,
        )
        for number, length in enumerate(lengths)
    ]
    leads = 7 * np.arange(len(lengths), dtype=np.int32) + 3
    return list(pack(sequences, leads, np.array(lengths, dtype=np.int32), buckets, PAD))


def test_one_behind_the_other() -> None:
    (batch,) = packed([2, 40, 1], [16, 64, 128])
    ids, leads, positions = batch.tokens
    assert ids.tolist() == [0, 1, *range(100, 140), 200, *[PAD] * 21]
    assert leads.tolist() == [3] * 2 + [10] * 40 + [17] + [-1] * 21
    assert positions.tolist() == [0, 1, *range(40), 0, *[0] * 21]
    assert batch.blocks.tolist() == [
        [0, 0, 2], [2, 2, 42], [34, 2, 42], [42, 42, 43], *[[0, 0, 0]] * 4,
    ]  # fmt: skip
    assert batch.tokens.dtype == batch.blocks.dtype == np.int32


def test_many_short_sources_take_a_bucket_with_enough_blocks() -> None:
    (batch,) = packed([1] * 12, [16, 64, 128])
    assert batch.tokens.shape == (3, 128)
    assert (batch.blocks[:, 2] > batch.blocks[:, 0]).sum() == 12


@pytest.mark.parametrize("lengths", [[60, 60, 60], [128, 1], [1] * 40, [128, 128], [5]])
def test_what_does_not_fit_goes_into_the_next_batch(lengths: list[int]) -> None:
    batches = packed(lengths, [16, 64, 128])
    leads = [lead for batch in batches for lead in dict.fromkeys(batch.tokens[1].tolist())]
    assert [lead for lead in leads if lead >= 0] == [7 * n + 3 for n in range(len(lengths))]
    assert sum(int((batch.tokens[1] >= 0).sum()) for batch in batches) == sum(lengths)


@pytest.mark.parametrize("max_positions", [1, 512, 5000])
def test_the_longest_source_has_a_bucket(max_positions: int) -> None:
    buckets = buckets_for_sources(max_positions)
    (batch,) = packed([max_positions], buckets)
    assert batch.tokens.shape[1] >= max_positions
    assert len(batch.blocks) == max_blocks(batch.tokens.shape[1])
