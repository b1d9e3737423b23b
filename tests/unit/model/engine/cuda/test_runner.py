"""The CUDA runner's bookkeeping: what is queued, for whom, and when it is looked at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from model.config import GenerationConfig
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import packed_ids
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.kernels.slot_memory import Counter
from model.engine.cuda.runner import CudaRunner
from model.engine.runner import FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import BackendUnavailableError, InvalidRequestError
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.deferred_stream import DeferredStream

GREEDY = GenerationConfig(beam_size=1)


def make_runner(**changes: object) -> CudaRunner:
    values: dict[str, object] = {
        "device": torch.device("cpu"), "dtype": torch.float32, "max_slots": 8, "beams": (),
        "stream": DeferredStream(), "operations": PlainOperations(torch.float32),
    }  # fmt: skip
    return CudaRunner(tiny_transformer(), **(values | changes))  # type: ignore[arg-type]


def sequence(
    slots: list[int],
    limit: int,
    generation: GenerationConfig = GREEDY,
    *,
    source: tuple[int, ...] = (7, 8, 2),
    options: SequenceOptions = NO_OPTIONS,
) -> Sequence:
    made = Sequence(
        source=packed_ids(source), generation=generation, max_new_tokens=limit, arrived_at=0.0,
        options=options,
    )  # fmt: skip
    made.slots = slots
    return made


def finished(outcome: StepOutcome) -> list[FinishedSequence]:
    """Those of the pending results, which are waited for."""
    assert outcome.finished == []
    found = [each for results in outcome.pending for each in zip(*results.wait(), strict=True)]
    return [FinishedSequence(*each) for each in found]


def plan(
    *newcomers: Sequence, removed: tuple[Sequence, ...] = (), max_steps: int = 100
) -> StepPlan:
    return StepPlan(removed=removed, newcomers=newcomers, max_steps=max_steps)


def test_a_finish_is_seen_when_the_next_steps_have_been_queued() -> None:
    runner = make_runner()
    first = sequence([0], limit=3)
    outcome = runner.execute(plan(first))
    [(found, hypotheses)] = finished(outcome)
    assert found is first
    assert len(hypotheses[0].token_ids) == 3
    assert (outcome.steps, outcome.rows) == (5, 3)  # two are not looked at any more


def test_it_comes_back_after_as_many_steps_as_it_may_take_and_goes_on() -> None:
    runner = make_runner()
    only = sequence([0], limit=5)
    found = [runner.execute(plan(only, max_steps=1))]
    while not found[-1].pending:
        assert len(found) < 10
        found.append(runner.execute(plan(max_steps=1)))
    assert [outcome.steps for outcome in found] == [1] * 7


def test_with_nobody_there_nothing_is_done() -> None:
    outcome = make_runner().execute(plan())
    assert (finished(outcome), outcome.steps, outcome.rows) == ([], 0, 0)


def test_others_run_on_when_one_has_finished() -> None:
    runner = make_runner()
    short, long = sequence([3], limit=2), sequence([5], limit=6)
    outcome = runner.execute(plan(short, long))
    assert [each.sequence for each in finished(outcome)] == [short]
    assert (outcome.steps, outcome.rows) == (4, 4)
    outcome = runner.execute(plan())
    assert [each.sequence for each in finished(outcome)] == [long]
    # Two steps with both were in flight, and two more than needed are.
    assert (outcome.steps, outcome.rows) == (4, 2 * 2 + 2)


def test_it_goes_on_until_as_many_slots_are_free_as_are_wanted() -> None:
    runner = make_runner()
    by_limit = {limit: sequence([limit], limit) for limit in (1, 3, 4, 7)}
    newcomers = tuple(by_limit.values())
    wanting = StepPlan(removed=(), newcomers=newcomers, max_steps=100, freed_rows=3)
    outcome = runner.execute(wanting)
    assert [each.sequence for each in finished(outcome)] == [by_limit[n] for n in (1, 3, 4)]
    assert outcome.steps == 6
    assert [each.sequence for each in finished(runner.execute(plan()))] == [by_limit[7]]


def test_results_are_what_they_were_when_their_slots_have_other_owners() -> None:
    """They may be looked at as late as one likes."""
    alone = finished(make_runner().execute(plan(sequence([2], limit=5))))[0].hypotheses
    runner = make_runner()
    late = runner.execute(plan(sequence([2], limit=5)))
    heir = sequence([2], limit=9, source=(11, 2))
    assert finished(runner.execute(plan(heir)))[0].sequence is heir
    assert finished(late)[0].hypotheses == alone


def test_who_is_removed_is_not_reported_and_their_slot_is_somebody_elses() -> None:
    runner = make_runner()
    leaver = sequence([2], limit=2)
    assert finished(runner.execute(plan(leaver, max_steps=2))) == []
    heir = sequence([2], limit=3)
    outcome = runner.execute(plan(heir, removed=(leaver,)))
    assert [each.sequence for each in finished(outcome)] == [heir]


def test_removing_somebody_who_has_been_reported_changes_nothing() -> None:
    runner = make_runner()
    first = sequence([0], limit=1)
    assert finished(runner.execute(plan(first)))
    assert runner.execute(plan(removed=(first,))).steps == 0


def test_it_is_interrupted_after_a_step() -> None:
    runner = make_runner()
    runner.interrupt()
    assert runner.execute(plan(sequence([0], limit=60))).steps == 1
    assert runner.execute(plan(max_steps=7)).steps == 7


def test_times_are_set_with_the_first_step() -> None:
    runner = make_runner()
    only = sequence([0], limit=9)
    outcome = runner.execute(plan(only, max_steps=3))
    assert 0.0 < only.encoded_at <= only.first_token_at
    assert only.encode_seconds == outcome.encode_seconds > 0.0
    assert outcome.decode_seconds > 0.0
    first_token_at = only.first_token_at
    runner.execute(plan(max_steps=3))
    assert only.first_token_at == first_token_at


class _CountingStream(DeferredStream):
    """Its clock counts graphs: each takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        super().capture(work)

        def launch() -> None:
            self.run(work)
            self.run(self._tick)

        return launch

    def _tick(self) -> None:
        self._now += 1.0

    def idle(self, seconds: float) -> None:
        """Nothing is done for so long."""
        self._now += seconds

    def _passed_at(self) -> float:
        return self._now


def test_rows_are_those_of_the_steps_whose_seconds_are_known() -> None:
    """Also while some are in flight: what a row takes is estimated by it."""
    runner = make_runner(stream=_CountingStream())
    newcomers = (sequence([0], limit=40), sequence([1], limit=40))
    for given in (newcomers, (), ()):
        outcome = runner.execute(plan(*given, max_steps=5))
        assert outcome.rows == 2 * outcome.decode_seconds > 0


def test_seconds_of_steps_are_those_that_who_waits_for_tokens_waits() -> None:
    """With what the device waited for its host, but for encoding."""
    stream = _CountingStream()
    runner = make_runner(stream=stream)
    outcomes = []
    for newcomers in ((sequence([0], limit=40),), (), (sequence([1], limit=40),)):
        outcomes.append(runner.execute(plan(*newcomers, max_steps=5)))
        stream.settle()
        stream.idle(100.0)
    seconds = [(each.encode_seconds, each.decode_seconds) for each in outcomes]
    assert seconds == [(1.0, 3.0), (0.0, 105.0), (1.0, 5.0)]


def test_a_device_without_anybody_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _CountingStream()
    runner = make_runner(stream=stream)
    noted: list[float] = []

    def note(*, idle_seconds: float, busy_seconds: float) -> None:
        noted.append(idle_seconds)

    monkeypatch.setattr(runner._depth, "note", note)
    for _ in range(2):
        assert finished(runner.execute(plan(sequence([0], limit=3))))
        stream.settle()
        stream.idle(100.0)
    assert noted == [0.0] * 6


def test_how_long_a_device_had_nothing_to_do_is_noted_and_the_depth_is_kept_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = _CountingStream()
    runner = make_runner(stream=stream)
    noted: list[tuple[float, float]] = []

    def note(*, idle_seconds: float, busy_seconds: float) -> None:
        noted.append((idle_seconds, busy_seconds))

    monkeypatch.setattr(runner._depth, "note", note)
    for newcomers in ((sequence([0], limit=40),), (sequence([1], limit=40),), ()):
        runner.execute(plan(*newcomers, max_steps=5))
        stream.settle()
        stream.idle(100.0)
    # Each looks at two steps fewer than it queues, and at those of the plan before. Encoding is a
    # second, as a step is.
    plans = [(0.0, 2.0)] + [(0.0, 1.0)] * 4, [(100.0, 2.0)] + [(0.0, 1.0)] * 4
    assert noted == [*plans[0], *plans[1], (100.0, 1.0), (0.0, 1.0), (0.0, 1.0)]
    noted.clear()
    runner._depth.steps = 8
    runner.execute(plan(max_steps=5))
    assert noted == []
    runner._depth.steps = 2
    runner.execute(plan(max_steps=1))
    assert len(noted) == 7


@pytest.mark.parametrize("beam_size", [1, 3])
def test_graphs_are_captured_once_for_each_bucket(beam_size: int) -> None:
    stream = DeferredStream()
    runner = make_runner(stream=stream, max_slots=9)
    generation = GenerationConfig(beam_size=beam_size)
    encoders = stream.captured
    for count in (1, 2, 3, 2, 1):
        newcomers = [
            sequence([*range(place * beam_size, (place + 1) * beam_size)], 2, generation)
            for place in range(count)
        ]
        assert len(finished(runner.execute(plan(*newcomers)))) == count
    # Buckets of 1, 2 and 3 groups
    assert stream.captured == encoders + 3


def test_usual_searches_are_captured_in_advance() -> None:
    stream = DeferredStream()
    make_runner(stream=stream, max_slots=4, beams=(1, 4, 9))
    # 8 encoders of 16 to 2,048 tokens; 1, 2, 3 and 4 sequences of one beam, and one of four.
    assert stream.captured == 8 + 4 + 1


@pytest.mark.parametrize("shortlisted", [False, True])
def test_a_search_that_is_expected_needs_no_further_graph(shortlisted: bool) -> None:
    stream = DeferredStream()
    own = GenerationConfig(beam_size=2, limit_repeats=True)
    runner = make_runner(stream=stream, searches=(own,), shortlisted=shortlisted)
    captured = stream.captured
    allowed = np.array([2, 5, 6, 7], np.int32) if shortlisted else None
    only = sequence([2, 3], limit=4, generation=own, options=SequenceOptions(shortlist=allowed))
    assert finished(runner.execute(plan(only)))
    assert stream.captured == captured


def test_capturing_changes_nothing_of_those_who_run() -> None:
    """The second search needs graphs that are captured while the first one runs."""
    runner, wanted = make_runner(), make_runner()
    first = sequence([0], limit=8)
    runner.execute(plan(first, max_steps=3))
    beam = sequence([1, 2], limit=2, generation=GenerationConfig(beam_size=2))
    found = {}
    for _ in range(20):
        found |= dict(finished(runner.execute(plan(*([] if beam in found else [beam])))))
        beam = beam if beam in found else next(iter(found))
        if len(found) == 2:
            break
    alone = finished(wanted.execute(plan(sequence([0], limit=8))))[0].hypotheses
    assert found[first][0].token_ids == alone[0].token_ids


def test_numbers_that_are_not_finite_end_it() -> None:
    transformer = tiny_transformer()
    with torch.no_grad():
        transformer.projection.weight[7] = float("nan")
    runner = CudaRunner(
        transformer,
        device=torch.device("cpu"),
        dtype=torch.float32,
        max_slots=2,
        stream=DeferredStream(),
        operations=PlainOperations(torch.float32),
        beams=(),
    )
    with pytest.raises(RuntimeError, match="must be finite, but are not"):
        runner.execute(plan(sequence([0], limit=5)))


def test_a_type_that_it_does_not_compute_in() -> None:
    with pytest.raises(
        BackendUnavailableError, match="float32 or bfloat16 on CUDA, but is float64"
    ):
        make_runner(dtype=torch.float64)


def test_slots_that_do_not_fit_are_refused_before_they_are_allocated() -> None:
    with pytest.raises(
        InvalidRequestError, match="`max_slots` must be lower than 8 on this device"
    ):
        make_runner(stream=DeferredStream(free_bytes=2**20))


def test_without_a_number_it_takes_the_slots_that_fit() -> None:
    few = make_runner(max_slots=9)
    taken = make_runner(max_slots=None, stream=DeferredStream(free_bytes=few.budget.total))
    assert taken.max_slots == 9
    assert len(taken._memory.live_log_probs) == 9 + 1  # the spare


def test_in_bfloat16_the_slots_hold_bfloat16() -> None:
    runner = make_runner(
        dtype=torch.bfloat16, operations=PlainOperations(torch.bfloat16), max_slots=2
    )
    assert runner.dtype == "bfloat16"
    assert runner._memory.self_keys.dtype == torch.bfloat16
    [(_, hypotheses)] = finished(runner.execute(plan(sequence([1], limit=4))))
    assert len(hypotheses[0].token_ids) == 4


def test_the_spare_slot_is_done_for_ever() -> None:
    runner = make_runner()
    runner.execute(plan(*(sequence([slot], limit=4) for slot in range(5))))
    counters = runner._memory.counters[:, runner._memory.spare]
    assert counters[Counter.DONE] == 1
    assert counters[Counter.POSITION] == 0


def test_closing_forgets_everybody() -> None:
    runner = make_runner()
    runner.execute(plan(sequence([0], limit=9), max_steps=2))
    runner.close()
    assert runner._num_running == 0


def test_closing_gives_its_memory_back() -> None:
    runner = make_runner()
    runner.execute(plan(sequence([0], limit=9), max_steps=2))
    held = [weakref.ref(runner._memory), weakref.ref(runner._program)]
    runner.close()
    gc.collect()
    assert [each() for each in held] == [None, None]
