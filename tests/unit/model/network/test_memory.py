"""What a model takes is known before it is loaded."""

from __future__ import annotations

import pytest

from model.engine.native.binding import PRECISIONS, NativeModel, NativeState
from model.network.memory import WEIGHT_BYTES, slot_bytes, weights_bytes
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
