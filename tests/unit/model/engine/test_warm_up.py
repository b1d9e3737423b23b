"""What a new engine knows of itself before its first request."""

from __future__ import annotations

import math

import pytest
import torch

from model.config import EngineConfig
from model.engine.engine import Engine
from model.engine.warm_up import warm_up
from model.errors import EngineDeadError
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import make


@pytest.mark.parametrize("max_slots", [2, 20])
def test_a_new_engine_learns_how_fast_it_is_and_nothing_else(max_slots: int) -> None:
    config = EngineConfig(device="cpu", backend="eager", max_slots=max_slots, num_threads=1)
    engine = Engine(tiny_transformer(), config)
    try:
        warm_up(engine)
        assert 0 < engine._service_time.seconds_for([make()]) < 60
        assert engine.drain_steps() == []
        stats = engine.stats()
        assert (stats.submitted_source_tokens, stats.running, stats.slots_used) == (0, 0, 0)
    finally:
        engine.close()


def test_an_engine_that_cannot_compute_says_so() -> None:
    model = tiny_transformer()
    with torch.no_grad():
        model.encoder_layers[0].feed_forward.inner.bias[0] = math.nan
    engine = Engine(model, EngineConfig(device="cpu", backend="eager", max_slots=8, num_threads=1))
    with pytest.raises(EngineDeadError, match="predictions must be finite"):
        warm_up(engine)
    engine.close()
