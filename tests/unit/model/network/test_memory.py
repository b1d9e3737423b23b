"""What a model takes is known before it is loaded."""

from __future__ import annotations

import pytest

from model.engine.native.binding import PRECISIONS, NativeModel, NativeState
from model.network.memory import (
    WEIGHT_BYTES,
    shortlist_bytes,
    shortlist_limit,
    slot_bytes,
    weights_bytes,
)
from model.network.shapes import num_parameters
from tests.tiny_model import tiny_config, tiny_transformer


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"decoder_kind": "ssru"}, {"decoder_kind": "average_attention", "max_positions": 50}],
)
def test_a_slot_takes_what_the_native_engine_takes(dtype: str, changes: dict[str, object]) -> None:
    transformer = tiny_transformer(**changes)
    state = NativeState(NativeModel(transformer, dtype), 3)
    size = state.cache_bytes().size
    state.close()
    assert size == 3 * slot_bytes(transformer.config, dtype)


def test_weights_take_little_more_than_their_numbers() -> None:
    config = tiny_config(32_000, d_model=256, d_ff=1536, max_positions=256)
    for dtype, size in WEIGHT_BYTES.items():
        assert 1.0 < weights_bytes(config, dtype) / (size * num_parameters(config)) < 1.1


@pytest.mark.parametrize(
    ("size", "rows"), [(500, 512), (2000, 1024), (32_000, 8000), (256_000, 8192)]
)
def test_a_shortlist_takes_its_rows_of_the_projection(size: int, rows: int) -> None:
    config = tiny_config(size, d_model=256)
    assert min(size, shortlist_limit(config)) <= rows
    for dtype, number in WEIGHT_BYTES.items():
        assert shortlist_bytes(config, dtype, 1_000_000) == rows * (256 * number + 12)
