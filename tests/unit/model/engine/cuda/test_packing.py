"""Sources one behind the other."""

from __future__ import annotations

import numpy as np
import pytest

from model.config import GenerationConfig
from model.engine.cuda.packing import buckets_for_sources, max_blocks, pack
from model.engine.sequence import Sequence

PAD = 9


def sequences(lengths: list[int]) -> list[Sequence]:
    made = []
    for number, length in enumerate(lengths):
        sequence = Sequence(
            source_ids=tuple(range(100 * number, 100 * number + length)),
            generation=GenerationConfig(),
            max_new_tokens=1,
            arrived_at=0.0,
        )
        sequence.slots = [7 * number + 3]
        made.append(sequence)
    return made


def test_one_behind_the_other() -> None:
    (packed,) = pack(sequences([2, 40, 1]), [16, 64, 128], PAD)
    ids, leads, positions = packed.tokens
    assert ids.tolist() == [0, 1, *range(100, 140), 200, *[PAD] * 21]
    assert leads.tolist() == [3] * 2 + [10] * 40 + [17] + [-1] * 21
    assert positions.tolist() == [0, 1, *range(40), 0, *[0] * 21]
    assert packed.blocks.tolist() == [
        [0, 0, 2], [2, 2, 42], [34, 2, 42], [42, 42, 43], *[[0, 0, 0]] * 4,
    ]  # fmt: skip
    assert packed.tokens.dtype == packed.blocks.dtype == np.int32


def test_many_short_sources_take_a_bucket_with_enough_blocks() -> None:
    (packed,) = pack(sequences([1] * 12), [16, 64, 128], PAD)
    assert packed.tokens.shape == (3, 128)
    assert (packed.blocks[:, 2] > packed.blocks[:, 0]).sum() == 12


@pytest.mark.parametrize("lengths", [[60, 60, 60], [128, 1], [1] * 40, [128, 128], [5]])
def test_what_does_not_fit_goes_into_the_next_batch(lengths: list[int]) -> None:
    batches = list(pack(sequences(lengths), [16, 64, 128], PAD))
    leads = [lead for batch in batches for lead in dict.fromkeys(batch.tokens[1].tolist())]
    assert [lead for lead in leads if lead >= 0] == [7 * n + 3 for n in range(len(lengths))]
    assert sum(int((batch.tokens[1] >= 0).sum()) for batch in batches) == sum(lengths)


@pytest.mark.parametrize("max_positions", [1, 512, 5000])
def test_the_longest_source_has_a_bucket(max_positions: int) -> None:
    buckets = buckets_for_sources(max_positions)
    (packed,) = pack(sequences([max_positions]), buckets, PAD)
    assert packed.tokens.shape[1] >= max_positions
    assert len(packed.blocks) == max_blocks(packed.tokens.shape[1])
