"""Single calls of the compiled engine: how far they go, what they remember, what they refuse."""

import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import GenerationConfig
from model.decoding.token_ids import packed_ids
from model.engine.native import c_interface
from model.engine.native.binding import PRECISIONS, NativeModel, NativeRequest, NativeState
from model.engine.native.c_interface import Status
from model.errors import BackendUnavailableError, InvalidRequestError
from tests.tiny_model import tiny_transformer

GREEDY = GenerationConfig(beam_size=1)


def request(key: int, *, slots: list[int], steps: int = 20, source_len: int = 5) -> NativeRequest:
    return NativeRequest(
        id=key,
        source=packed_ids([*range(4, 3 + source_len), 2]),
        slots=slots,
        generation=GREEDY if len(slots) == 1 else GenerationConfig(beam_size=len(slots)),
        max_new_tokens=steps,
    )


@pytest.fixture(scope="module")
def weights() -> NativeModel:
    """State of a model that never ends by itself."""
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


def test_who_takes_no_part_goes_on_later_as_if_nothing_had_been(state: NativeState) -> None:
    undisturbed = state.execute([], [request(1, slots=[0, 1])], max_steps=100).finished
    state.execute([], [request(1, slots=[0, 1])], max_steps=5)
    outcome = state.execute([], [request(2, slots=[2], steps=9)], max_steps=100, active=[2, 99])
    assert (outcome.steps, outcome.rows, list(outcome.finished)) == (9, 9, [2])
    outcome = state.execute([], [], max_steps=100, active=[])
    assert (outcome.steps, state.num_running) == (0, 1)
    outcome = state.execute([], [], max_steps=100)
    assert outcome.steps == 15
    assert outcome.finished == undisturbed


def test_an_interrupt_is_heard_within_a_step_of_many_rows(weights: NativeModel) -> None:
    """Who then has had no token goes first, so everybody is done after as many tokens in all."""
    newcomers = [request(key, slots=[key], steps=6) for key in range(70)]
    undisturbed = NativeState(weights, 70).execute([], newcomers, max_steps=100)
    assert undisturbed.rows == 6 * 70
    state = NativeState(weights, 70)
    rows, finished = [], {}
    while newcomers or state.num_running:
        state.interrupt()
        outcome = state.execute([], newcomers, max_steps=100)
        newcomers = []
        rows.append(outcome.rows)
        finished |= outcome.finished
        if len(rows) % 5 == 0:  # everybody has had as many tokens as the next, or one less
            assert sum(rows) == 32 * len(rows) or finished
    assert rows[:10] == [32] * 10
    assert sum(rows) == 6 * 70
    assert finished == undisturbed.finished


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


# ---- What is refused -----------------------------------------------------------------------------


def newcomer(
    *,
    key: int = 2,
    slots: Sequence[int] = (3,),
    source: Sequence[int] = (4, 2),
    steps: int = 5,
    num_hypotheses: int = 1,
) -> NativeRequest:
    generation = GenerationConfig(beam_size=8, num_hypotheses=num_hypotheses)
    return NativeRequest(
        id=key, source=packed_ids(source), slots=slots, generation=generation, max_new_tokens=steps
    )


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (newcomer(slots=[8]), r"slots must be in \[0, 8\) and free"),
        (newcomer(slots=[-1]), "slots must be"),
        (newcomer(slots=[2**31 - 1]), "slots must be"),
        (newcomer(slots=[3, 4, 3]), "slots must be"),
        (newcomer(slots=[0, 3]), "slots must be"),  # 0 is another's
        (newcomer(slots=[]), "`num_hypotheses` at most as large as the beam"),
        (newcomer(slots=[3, 4], num_hypotheses=3), "`num_hypotheses` at most"),
        (newcomer(source=[]), "source must be 1 to 64 tokens of the vocabulary"),
        (newcomer(source=[4] * 65), "source must be"),
        (newcomer(source=[4, 400, 2]), "source must be"),
        (newcomer(source=[-1]), "source must be"),
        (newcomer(steps=0), r"`max_new_tokens` must be in \[1, 64\]"),
        (newcomer(steps=65), "`max_new_tokens` must be"),
        (newcomer(steps=2**32 + 5), "`max_new_tokens` must be"),  # not cut off to 5
        (newcomer(key=1), "id must not be another sequence's"),
    ],
)
def test_newcomers_out_of_range_are_refused_and_nothing_is_done(
    state: NativeState, weights: NativeModel, refused: NativeRequest, message: str
) -> None:
    state.execute([], [request(1, slots=[0])], max_steps=2)
    with pytest.raises(InvalidRequestError, match=message):
        state.execute([], [newcomer(key=7, slots=[5]), refused], max_steps=2)
    assert state.num_running == 1
    undisturbed = NativeState(weights, 8).execute([], [request(1, slots=[0])], max_steps=100)
    assert state.execute([], [], max_steps=100).finished == undisturbed.finished


def test_an_ngram_longer_than_any_target_bans_nothing(state: NativeState) -> None:
    endless = GenerationConfig(beam_size=1, no_repeat_ngram_size=2**32 + 1)
    newcomers = [
        NativeRequest(
            id=key,
            source=packed_ids([4, 5, 2]),
            slots=[key],
            generation=generation,
            max_new_tokens=30,
        )
        for key, generation in enumerate([GREEDY, endless])
    ]
    finished = state.execute([], newcomers, max_steps=30).finished
    assert finished[0][0].token_ids == finished[1][0].token_ids


@pytest.mark.parametrize("max_slots", [0, -1, 2**31, 2**32 + 4])
def test_impossible_numbers_of_slots_are_refused(weights: NativeModel, max_slots: int) -> None:
    with pytest.raises(InvalidRequestError, match=r"`max_slots` must be in \[1, 2\^31\), but is"):
        NativeState(weights, max_slots)


def test_a_cache_beyond_all_memory_is_an_error(weights: NativeModel) -> None:
    with pytest.raises(MemoryError, match="no memory for a KV cache of 2147483647 slots"):
        NativeState(weights, 2**31 - 1)  # of 128 KiB each


def helpers() -> int:
    """Threads of this process that help others."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("polyhead-team\n")


def test_models_of_one_process_share_a_team_of_threads() -> None:
    gc.collect()
    before = helpers()  # of other tests' models
    models = [NativeModel(tiny_transformer(), "int8", num_threads=before + 3)]
    assert helpers() == before + 2
    models += [NativeModel(tiny_transformer(), "int8", num_threads=n) for n in (1, 2, before + 3)]
    assert helpers() == before + 2
    models.append(NativeModel(tiny_transformer(), "int8", num_threads=before + 5))
    assert helpers() == before + 4


def test_more_inputs_than_int8_can_sum_up_are_refused() -> None:
    wide = tiny_transformer(d_ff=2**16 + 1, num_encoder_layers=1, num_decoder_layers=1)
    with pytest.raises(BackendUnavailableError, match=r"at most 65536 in int8, but .* 65537"):
        NativeModel(wide, "int8")


def test_weights_of_another_shape_are_refused(weights: NativeModel) -> None:
    values = np.zeros((400, 33), dtype=np.float32)
    for name, outputs, inputs, status in (
        (b"projection", 400, 33, Status.BAD_SHAPE),
        (b"projection", 401, 32, Status.BAD_SHAPE),
        (b"encoder.2.inner", 64, 32, Status.UNKNOWN_NAME),
    ):
        assert status == weights._library.ph_model_set_linear(
            weights._handle, name, values.ctypes.data, None, outputs, inputs
        )


# ---- After the end -------------------------------------------------------------------------------


def test_a_closed_state_says_so(weights: NativeModel) -> None:
    state = NativeState(weights, 8)
    state.execute([], [request(1, slots=[0])], max_steps=2)
    state.close()
    state.close()
    state.interrupt()
    for use in (lambda: state.execute([], [], 1), lambda: state.num_running, state.cache_bytes):
        with pytest.raises(RuntimeError, match="the runner is closed"):
            use()


def test_closing_ends_a_call_that_is_under_way(weights: NativeModel) -> None:
    """The memory must not go away under another thread's feet."""
    state = NativeState(weights, 8)
    started = threading.Event()

    def work() -> None:
        for key in range(1_000_000):
            state.execute([], [request(key, slots=[key % 8], steps=60)], max_steps=100)
            started.set()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert started.wait(60)
        state.close()
        with pytest.raises(RuntimeError, match="the runner is closed"):
            working.result(60)


# ---- Predictions that are no numbers -------------------------------------------------------------

BITS = {
    "NaN": 0x7FC00000,
    "NaN of ones": -1,  # added to, as rounding does, it would overflow into zero
    "infinity": 0x7F800000,
    "minus infinity": -0x00800000,
}
WEIGHTS = {
    "embedding": "src_embedding.tokens.weight",
    "encoder": "encoder_layers.0.self_attn.v_proj.weight",
    "decoder": "decoder_layers.0.feed_forward.inner.weight",  # before a ReLU
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("poison", BITS)
@pytest.mark.parametrize("where", WEIGHTS)
def test_predictions_that_are_not_finite_are_an_error_for_good(
    precision: str, poison: str, where: str
) -> None:
    model = tiny_transformer()
    with torch.no_grad():
        model.get_parameter(WEIGHTS[where])[5].view(torch.int32).fill_(BITS[poison])
    state = NativeState(NativeModel(model, precision), 4)
    for newcomers in ([request(1, slots=[0])], [], [request(2, slots=[1])]):
        with pytest.raises(RuntimeError, match="predictions must be finite"):
            state.execute([], newcomers, max_steps=10)


def test_one_logit_that_is_no_number_is_an_error() -> None:
    model = tiny_transformer(projection_bias=True)
    with torch.no_grad():
        model.projection.bias[17] = float("nan")
    state = NativeState(NativeModel(model, "float32"), 4)
    with pytest.raises(RuntimeError, match="predictions must be finite"):
        state.execute([], [request(1, slots=[0])], max_steps=10)


# ---- Memory --------------------------------------------------------------------------------------


def test_weights_are_held_once_and_narrow_ones_are_smaller() -> None:
    sizes = {
        precision: NativeModel(tiny_transformer(d_model=64, d_ff=256), precision).size_bytes
        for precision in ("float32", "bfloat16", "int8")
    }
    tables = 2 * 64 * 64 * 4  # positions of either side
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


def test_options_that_the_library_does_not_have_are_refused(
    weights: NativeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    c_interface._check_options(weights._library)
    monkeypatch.setattr(c_interface, "SEQUENCE_OPTIONS", c_interface.SEQUENCE_OPTIONS[:-1])
    with pytest.raises(RuntimeError, match=r"PH_OPTIONS must be, .* but is .*'repetition_pen"):
        c_interface._check_options(weights._library)
