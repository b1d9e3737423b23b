"""Single calls of the compiled engine: how far they go, what they remember, what they refuse."""

import gc

import numpy as np
import pytest
import torch

from model.config import GenerationConfig
from model.errors import BackendUnavailableError
from model.native.binding import NativeModel, NativeRequest, NativeState
from tests.tiny_model import tiny_transformer

GREEDY = GenerationConfig(beam_size=1)


def request(key: int, *, slots: list[int], steps: int = 20, source_len: int = 5) -> NativeRequest:
    return NativeRequest(
        id=key,
        source_ids=[*range(4, 3 + source_len), 2],
        slots=slots,
        generation=GREEDY if len(slots) == 1 else GenerationConfig(beam_size=len(slots)),
        max_new_tokens=steps,
    )


@pytest.fixture(scope="module")
def weights() -> NativeModel:
    """Of a model that never ends by itself."""
    model = tiny_transformer(projection_bias=True)
    with torch.no_grad():
        model.projection.bias[model.config.eos_id] = -1e4
    return NativeModel(model, "float32")


@pytest.fixture
def state(weights: NativeModel) -> NativeState:
    return NativeState(weights, max_slots=8)


def test_a_call_ends_after_its_steps(state: NativeState) -> None:
    outcome = state.execute([], [request(7, slots=[0])], max_steps=3)
    assert (outcome.steps, outcome.rows, outcome.finished) == (3, 3, {})
    outcome = state.execute([], [], max_steps=100)
    assert outcome.steps == 17
    assert [len(h.token_ids) for h in outcome.finished[7]] == [20]
    assert state.num_running == 0


def test_a_call_ends_when_somebody_is_done(state: NativeState) -> None:
    newcomers = [request(1, slots=[0], steps=9), request(2, slots=[1], steps=4)]
    outcome = state.execute([], newcomers, max_steps=100)
    assert (outcome.steps, list(outcome.finished)) == (4, [2])
    outcome = state.execute([], [], max_steps=100)
    assert (outcome.steps, list(outcome.finished)) == (5, [1])


def test_with_nobody_a_call_does_nothing(state: NativeState) -> None:
    outcome = state.execute([], [], max_steps=10)
    assert (outcome.steps, outcome.rows, outcome.finished) == (0, 0, {})


def test_an_interrupt_ends_a_call_after_one_step(state: NativeState) -> None:
    state.interrupt()
    assert state.execute([], [request(1, slots=[0])], max_steps=10).steps == 1
    assert state.execute([], [], max_steps=10).steps == 10


def test_the_removed_are_forgotten_and_their_slots_taken_over(state: NativeState) -> None:
    state.execute([], [request(1, slots=[0, 1]), request(2, slots=[2])], max_steps=2)
    outcome = state.execute([1, 99], [request(3, slots=[1, 0])], max_steps=100)
    assert state.num_running == 1
    assert set(outcome.finished) == {2}
    assert set(state.execute([], [], max_steps=100).finished) == {3}


def test_the_beams_of_a_first_step_are_one_row(state: NativeState) -> None:
    outcome = state.execute([], [request(1, slots=[0, 1, 2, 3])], max_steps=3)
    assert outcome.rows == 1 + 4 + 4


def test_seconds_add_up(state: NativeState) -> None:
    outcome = state.execute([], [request(1, slots=[0])], max_steps=5)
    assert outcome.encode_seconds > 0
    assert 0 < outcome.first_step_seconds <= outcome.decode_seconds


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_are_an_error(precision: str, poison: float) -> None:
    model = tiny_transformer()
    with torch.no_grad():
        model.src_embedding.tokens.weight[5] = poison
    state = NativeState(NativeModel(model, precision), 4)
    with pytest.raises(RuntimeError, match="predictions must be finite"):
        state.execute([], [request(1, slots=[0])], max_steps=10)


def test_weights_are_held_once_and_narrow_ones_are_smaller() -> None:
    sizes = {
        precision: NativeModel(tiny_transformer(d_model=64, d_ff=256), precision).size_bytes
        for precision in ("float32", "bfloat16", "int8")
    }
    tables = 400 * 64 * 4 + 2 * 64 * 64 * 4  # shared tokens; positions of either side
    parameters = tiny_transformer(d_model=64, d_ff=256).num_parameters
    assert sizes["float32"] == pytest.approx(tables + parameters * 4, rel=0.05)
    assert sizes["bfloat16"] == pytest.approx(tables + parameters * 2, rel=0.05)
    assert sizes["int8"] == pytest.approx(tables + parameters, rel=0.15)


def test_a_state_keeps_its_weights_alive() -> None:
    state = NativeState(NativeModel(tiny_transformer(), "int8"), 4)
    gc.collect()
    assert state.execute([], [request(1, slots=[0], steps=3)], max_steps=10).finished


def test_the_cache_takes_no_memory_before_it_is_written(weights: NativeModel) -> None:
    large = NativeState(weights, max_slots=100_000)  # some ten gigabytes
    outcome = large.execute([], [request(1, slots=[99_999])], max_steps=100)
    assert len(outcome.finished) == 1
    large.close()


def test_slots_full_of_other_numbers_change_nothing(weights: NativeModel) -> None:
    clean, full = NativeState(weights, 8), NativeState(weights, 8)
    full.cache_bytes()[:] = np.uint8(0x46)  # 12,689.6 as float32
    newcomers = [request(1, slots=[3, 1, 2]), request(2, slots=[0], source_len=17)]
    outcomes = [state.execute([], newcomers, max_steps=100) for state in (clean, full)]
    assert outcomes[0].finished == outcomes[1].finished


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="`precision` must be float32, bfloat16, int"):
        NativeModel(tiny_transformer(), "float16")
