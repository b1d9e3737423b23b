"""The engine's promises to its callers: order, bounds, cancellation, deadlines, death."""

import math
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import pytest
import torch

from model.config import EngineConfig, GenerationConfig, Priority
from model.decoding.phrases import Phrase
from model.decoding.sequence_options import SequenceOptions
from model.engine.engine import Engine
from model.engine.futures import wait
from model.engine.result_future import ResultFuture
from model.engine.runner import StepOutcome
from model.engine.scheduler import MAX_STEPS, StepPlan
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
    TooLongForDeadlineError,
)
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import EOS, FakeRunner, make, until

GREEDY = GenerationConfig(beam_size=1, max_new_tokens=20)
ENDLESS = GenerationConfig(beam_size=1, max_new_tokens=64)
SHORT = GenerationConfig(beam_size=1, max_new_tokens=1)
EAGER = EngineConfig(device="cpu", backend="eager", max_slots=4, num_threads=1)

Open = Callable[..., tuple[Engine, list[FakeRunner]]]


@pytest.fixture
def start() -> Iterator[Open]:
    """Engines with fake runners; their gates open when the test is over."""
    opened: list[tuple[Engine, list[FakeRunner]]] = []

    def start(
        workers: int = 1, *, max_slots: int = 4, gated: bool = True, **config: int
    ) -> tuple[Engine, list[FakeRunner]]:
        runners = [FakeRunner(max_slots, gated=gated) for _ in range(workers)]
        values: dict[str, int] = {"max_waiting": 8, **config}
        engine = Engine(tiny_transformer(), EngineConfig(**values), runners=runners)  # type: ignore[arg-type]
        opened.append((engine, runners))
        return engine, runners

    yield start
    for engine, runners in opened:
        for runner in runners:
            runner.ending = True
            runner.may_step.release(10_000)
        engine.close()
        assert all(runner.closed for runner in runners)


def source(number: int = 5) -> list[int]:
    return [number, EOS]


def error_of(future: ResultFuture) -> BaseException | None:
    return future.exception(timeout=60)


def ids(plan) -> list[int]:
    """First tokens of a plan's newcomers."""
    return [sequence.source_ids[0] for sequence in plan.newcomers]


# --- What is admitted


def test_a_source_must_fit_the_model(start: Open) -> None:
    engine, _ = start()
    for tokens in ([], [5] * 65):
        with pytest.raises(InvalidRequestError, match="must have 1 to 64 tokens, but has"):
            engine.submit([tokens], GREEDY)
    for tokens, wrong in (
        ([5, 400], "400"), ([-1, 5], "-1"), ([5, 2**70], str(2**70)),
        ([5, -(2**70)], str(-(2**70))),
        ([5, 1.5, 5], "1.5"), ([5, None], "None"), ([5, "7"], "'7'"),
    ):  # fmt: skip
        expected = rf"must be whole numbers in \[0, 400\), but one is {wrong}$"
        with pytest.raises(InvalidRequestError, match=expected):
            engine.submit([[7, 3], tokens], GREEDY)


def test_a_beam_must_fit_one_worker(start: Open) -> None:
    engine, _ = start(workers=2)
    words = "`beam_size` must be at most 4, the slots of one of the engine's 2 workers, but is 5"
    with pytest.raises(InvalidRequestError, match=words):
        engine.submit([source()], GenerationConfig(beam_size=5))


def test_a_deadline_is_a_number(start: Open) -> None:
    engine, _ = start()
    with pytest.raises(InvalidRequestError, match="`deadline` must be seconds, but is nan"):
        engine.submit([source()], GREEDY, deadline=math.nan)


def test_the_waiting_queue_is_bounded_all_or_nothing(start: Open) -> None:
    engine, _ = start()
    engine.submit([source()] * 6, GREEDY)
    with pytest.raises(QueueFullError, match="of 8"):
        engine.submit([source()] * 9, GREEDY)
    assert engine.stats().waiting <= 8


def test_what_would_probably_be_late_is_refused_at_once(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, [runner] = start(max_slots=8, max_waiting=100)
    monkeypatch.setattr(engine._queue_wait, "seconds_for", lambda num_tokens: num_tokens * 1.0)
    [running] = engine.submit([source()], GenerationConfig(beam_size=8, max_new_tokens=64))
    until(lambda: engine.stats().running == 1)
    engine.submit([source() for _ in range(10)], ENDLESS)  # 20 tokens, two of them before others
    now = time.monotonic()
    with pytest.raises(QueueFullError, match=r"deadline is in 1\.[45]\d* s, but .* for about 2 s"):
        engine.submit([source()], GREEDY, deadline=now + 1.5)
    with pytest.raises(QueueFullError, match="for about 20 s"):
        engine.submit([source()], GREEDY, deadline=now + 25, priority=Priority.BATCH)
    engine.submit([source()], GREEDY, deadline=now + 60)
    engine.submit([source()], GREEDY)
    assert engine.stats().waiting == 12
    assert not running.done()
    runner.ending = True


def know_speed(engine: Engine, *, seconds_a_row: float) -> None:
    """The engine has seen how fast it is."""
    engine._service_time.observe(
        encoded_tokens=1000, encode_seconds=0.0, rows=1000, decode_seconds=1000 * seconds_a_row
    )


def test_what_takes_longer_than_its_deadline_is_refused_before_the_first_step(
    start: Open,
) -> None:
    engine, runners = start(workers=2, max_waiting=100)
    know_speed(engine, seconds_a_row=1.0)
    sources, search = [source()] * 20, GenerationConfig(beam_size=2)
    words = r"take about 40 s to translate, but the deadline is in 10 s: about 25% of them"
    with pytest.raises(TooLongForDeadlineError, match=words):
        engine.submit(sources, search, deadline=time.monotonic() + 10)
    assert all(runner.plans == [] for runner in runners)
    assert engine.stats().waiting == 0
    engine.cancel(engine.submit(sources, search, deadline=time.monotonic() + 50))
    engine.cancel(engine.submit(sources, search))
    engine.cancel(engine.submit(sources, GREEDY, deadline=time.monotonic() + 30))


def test_what_waits_before_a_request_comes_on_top_of_its_own_time(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, [runner] = start(max_slots=1, max_waiting=100)
    monkeypatch.setattr(engine._queue_wait, "seconds_for", lambda num_tokens: num_tokens * 2.0)
    know_speed(engine, seconds_a_row=1.0)
    engine.submit([source()], ENDLESS)
    until(lambda: engine.stats().running == 1)
    engine.submit([source()] * 10, ENDLESS)
    with pytest.raises(QueueFullError, match="others have their turn for about 40 s"):
        engine.submit([source()] * 10, GREEDY, deadline=time.monotonic() + 75)
    engine.submit([source()] * 10, GREEDY, deadline=time.monotonic() + 85)
    runner.ending = True


def test_of_large_requests_at_once_those_are_refused_who_would_be_late(start: Open) -> None:
    engine, [runner] = start(max_slots=2, max_waiting=200)
    know_speed(engine, seconds_a_row=1.0)
    # 40 s of work each, of which some seconds have begun.
    futures = [
        engine.submit([source()] * 20, GREEDY, deadline=time.monotonic() + 120) for _ in range(2)
    ]
    words = "take about 40 s to translate, and those of others before them about [678][0-9] s"
    with pytest.raises(QueueFullError, match=words):
        engine.submit([source()] * 20, GREEDY, deadline=time.monotonic() + 120)
    engine.submit([source()], GREEDY, deadline=time.monotonic() + 120)  # it has its turn soon
    engine.submit([source()] * 20, GREEDY, deadline=time.monotonic() + 180)
    for future in futures:
        engine.cancel(future)
    engine.submit([source()] * 20, GREEDY, deadline=time.monotonic() + 120)
    runner.ending = True


def test_speed_is_what_workers_show_while_all_are_busy(start: Open) -> None:
    engine, [runner] = start(gated=False)
    runner.seconds_a_row = 1.0
    [alone] = engine.submit([source()], GREEDY)
    alone.result(timeout=60)
    assert engine._service_time.seconds_for([make(10, limit=3)]) == 0
    for future in engine.submit([source()] * 4, GREEDY):
        future.result(timeout=60)
    assert engine._service_time.seconds_for([make(10, limit=3)]) == pytest.approx(3.0)


def test_a_worker_that_works_alone_shows_no_speed(start: Open) -> None:
    engine, runners = start(workers=2, gated=False)
    for runner in runners:
        runner.seconds_a_row = 1.0
    [alone] = engine.submit([source()], GenerationConfig(beam_size=4, max_new_tokens=5))
    alone.result(timeout=60)
    assert engine._service_time.seconds_for([make()]) == 0


def test_time_that_another_program_had_is_counted_for_neither_part(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, [runner] = start(gated=False)
    runner.device, runner.seconds_a_row, execute = "cpu", 1.0, runner.execute

    def execute_and_encode(plan: StepPlan) -> StepOutcome:
        outcome = execute(plan)
        outcome.encode_seconds = outcome.decode_seconds
        return outcome

    seen = []
    monkeypatch.setattr(runner, "execute", execute_and_encode)
    monkeypatch.setattr(
        engine._service_time,
        "observe",
        lambda **work: seen.append((work, engine._workers[0].cpu_seconds)),
    )
    for future in engine.submit([source()] * 4, GREEDY):
        future.result(timeout=60)
    assert seen
    for work, cpu_seconds in seen:
        assert work["encode_seconds"] == pytest.approx(cpu_seconds / 2)
        assert work["decode_seconds"] == pytest.approx(cpu_seconds / 2)


def test_statistics_can_be_reset(start: Open) -> None:
    engine, [runner] = start(gated=False)
    runner.seconds_a_row = 1.0
    for future in engine.submit([source()] * 8, GREEDY):
        future.result(timeout=60)
    engine.reset_statistics()
    stats = engine.stats()
    assert (stats.submitted_source_tokens, stats.admitted_source_tokens) == (0, 0)
    assert engine.drain_steps() == []
    assert engine._queue_wait.seconds_for(1000) == 0
    assert engine._service_time.seconds_for([make()]) > 0


def test_batch_work_goes_last(start: Open) -> None:
    engine, [runner] = start(max_slots=1)
    engine.submit([source()], ENDLESS)
    until(lambda: engine.stats().running == 1)
    engine.submit([source(7)], SHORT, priority=Priority.BATCH)
    engine.submit([source(8)], SHORT)
    runner.ending = True
    runner.may_step.release(100)
    until(lambda: engine.stats().running + engine.stats().waiting == 0)
    newcomers = [number for plan in runner.plans for number in ids(plan)]
    assert newcomers == [5, 8, 7]


def test_batch_work_is_wanted_while_what_waits_of_it_would_leave_slots_empty(start: Open) -> None:
    engine, _ = start(max_slots=2, max_waiting=10)
    engine.submit([source()] * 2, ENDLESS)
    until(lambda: engine.stats().running == 2)
    assert engine.room(Priority.INTERACTIVE) == 10
    engine.submit([source()] * 3, ENDLESS)
    assert engine.wants_batch  # whatever others there are
    engine.submit([source()], ENDLESS, priority=Priority.BATCH)
    assert engine.wants_batch
    futures = engine.submit([source()], ENDLESS, priority=Priority.BATCH)
    assert not engine.wants_batch
    assert (engine.room(Priority.INTERACTIVE), engine.room(Priority.BATCH)) == (5, 0)
    engine.cancel(futures)
    assert engine.wants_batch


def test_nothing_submitted_is_nothing_to_wait_for(start: Open) -> None:
    engine, _ = start()
    assert engine.submit([], GREEDY) == []
    assert engine.stats().waiting == 0


# --- Who runs when


def test_workers_share_what_arrives_together(start: Open) -> None:
    engine, runners = start(workers=2, max_slots=8)
    engine.submit([source()] * 8, GREEDY)
    until(lambda: all(runner.plans for runner in runners))
    assert [len(runner.plans[0].newcomers) for runner in runners] == [4, 4]


def test_a_single_arrival_wakes_an_idle_worker_and_disturbs_no_other(start: Open) -> None:
    engine, runners = start(workers=2)
    engine.submit([source()], ENDLESS)
    until(lambda: any(runner.plans for runner in runners))
    [busy] = [runner for runner in runners if runner.plans]
    [idle] = [runner for runner in runners if not runner.plans]
    engine.submit([source()], ENDLESS)
    until(lambda: idle.plans)
    assert busy.num_interrupts == 0


def test_an_arrival_that_fits_interrupts_the_running(start: Open) -> None:
    engine, [runner] = start()
    engine.submit([source(5)], ENDLESS)
    runner.step(2)
    engine.submit([source(6)], ENDLESS)
    runner.step(2)
    assert [ids(plan) for plan in runner.plans] == [[5], [6]]
    assert runner.outcomes[0].steps == 3


def test_an_arrival_that_does_not_fit_interrupts_nobody(start: Open) -> None:
    engine, [runner] = start()
    engine.submit([source()] * 4, ENDLESS)
    runner.step()
    engine.submit([source()], ENDLESS)
    runner.step(MAX_STEPS)
    assert runner.num_interrupts == 0
    assert runner.outcomes[0].steps == MAX_STEPS


def test_a_late_single_is_not_delayed_by_a_huge_request(start: Open) -> None:
    engine, [runner] = start(max_slots=16, max_waiting=3000)
    huge = engine.submit([source(5)] * 2048, SHORT)
    until(lambda: runner.plans)
    [late] = engine.submit([source(6)], SHORT)
    runner.step(2)
    assert late.result(timeout=60).hypotheses
    assert 6 in ids(runner.plans[1])
    assert sum(future.done() for future in huge) <= 32


def test_a_wide_beam_has_its_turn_among_narrow_ones(start: Open) -> None:
    engine, [runner] = start(max_waiting=1000)
    engine.submit([source(5)] * 500, SHORT)
    until(lambda: runner.plans)
    [wide] = engine.submit([source(6)], GenerationConfig(beam_size=4, max_new_tokens=1))
    runner.step(2)
    assert wide.result(timeout=60).hypotheses
    assert [ids(plan) for plan in runner.plans[:2]] == [[5] * 2, [6]]


def test_a_small_request_goes_before_a_large_one_that_runs(start: Open) -> None:
    engine, [runner] = start(max_slots=16, max_waiting=200)
    large = engine.submit([source(5)] * 100, ENDLESS)
    runner.step(20)
    assert engine.stats().slots_used == 12
    [small] = engine.submit([source(6)], GREEDY)
    before = dict(runner.running)
    runner.step(21)  # the step that is interrupted, then its own
    assert small.result(timeout=60).hypotheses
    assert all(runner.running[each] <= steps + 1 for each, steps in before.items())
    runner.step(30)
    assert all(runner.running[each] > steps + 1 for each, steps in before.items())
    assert not any(future.done() for future in large)


def test_a_small_request_disturbs_nobody_while_a_worker_is_idle(start: Open) -> None:
    engine, runners = start(workers=2)
    engine.submit([source()], ENDLESS, priority=Priority.BATCH)
    until(lambda: any(runner.plans for runner in runners))
    [busy] = [runner for runner in runners if runner.plans]
    [idle] = [runner for runner in runners if not runner.plans]
    engine.submit([source()], ENDLESS)
    until(lambda: idle.plans)
    assert busy.num_interrupts == 0


def test_the_paused_can_be_cancelled_and_leave_nothing_behind(start: Open) -> None:
    engine, [runner] = start(max_slots=16, max_waiting=200)
    large = engine.submit([source(5)] * 100, ENDLESS)
    runner.step(20)
    [small] = engine.submit([source(6)], GREEDY)
    runner.step(3)
    assert runner.plans[-1].active is not None
    engine.cancel(large)
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.slots_used) == (1, 0, 1)
    runner.step(18)
    assert small.result(timeout=60).hypotheses
    assert runner.running == {}


def test_who_becomes_next_is_fetched_by_whoever_has_room(start: Open) -> None:
    engine, runners = start(workers=2)
    engine.submit([source(5)] * 6, ENDLESS)
    until(lambda: all(runner.plans for runner in runners))
    engine.submit([source(6)], GenerationConfig(beam_size=2))
    engine.submit([source(7)], ENDLESS)  # fits, but is not next
    here, there = runners
    engine.cancel([next(iter(here.running)).future])
    here.step(2)
    there.step(2)
    assert [ids(plan) for plan in here.plans] == [[5] * 3, [6]]
    assert [ids(plan) for plan in there.plans] == [[5] * 3, [7]]


def test_one_huge_and_many_tiny_sources_all_get_through(start: Open) -> None:
    engine, [runner] = start(max_slots=8, max_waiting=200, encode_token_budget=16, gated=False)
    tiny = [engine.submit([source()], SHORT)[0] for _ in range(50)]
    [huge] = engine.submit([[5] * 63 + [EOS]], GREEDY)
    tiny += [engine.submit([source()], SHORT)[0] for _ in range(50)]
    assert wait([huge, *tiny], timeout=60)
    for plan in runner.plans:
        tokens = sum(sequence.source_len for sequence in plan.newcomers)
        assert tokens <= 16 or len(plan.newcomers) == 1


# --- Cancellation


def test_cancelled_slots_are_free_at_once(start: Open) -> None:
    engine, [runner] = start()
    futures = engine.submit([source(5)] * 4, ENDLESS)
    until(lambda: runner.plans)
    engine.submit([source(6)], ENDLESS)
    runner.step()
    engine.cancel(futures[:2])
    for future in futures[:2]:
        assert isinstance(future.exception(timeout=0), RequestCancelledError)
    assert engine.stats().slots_used == 2
    runner.step(2)
    assert [ids(plan) for plan in runner.plans] == [[5] * 4, [6]]
    assert [s.future for s in runner.plans[1].removed] == futures[:2]
    assert len(runner.running) == 3


def test_a_runner_forgets_the_cancelled_before_it_goes_idle(start: Open) -> None:
    engine, [runner] = start()
    engine.cancel(engine.submit([source()] * 3, ENDLESS))
    futures = engine.submit([source()] * 3, ENDLESS)
    runner.step()
    engine.cancel(futures)
    runner.may_step.release(2)
    until(lambda: runner.plans[-1].removed)
    assert runner.running == {}
    assert engine.stats().slots_used == 0


def test_cancelling_twice_or_too_late_is_harmless(start: Open) -> None:
    engine, _ = start(gated=False)
    [future] = engine.submit([source()], GREEDY)
    assert future.result(timeout=60).hypotheses
    engine.cancel([future])
    engine.cancel([future, ResultFuture()])
    [another] = engine.submit([source()], GREEDY)
    assert another.result(timeout=60).hypotheses


def test_a_storm_of_cancellations_leaves_nothing_behind(start: Open) -> None:
    engine, runners = start(workers=2, max_slots=8, max_waiting=10_000, gated=False)
    generator = random.Random(7)
    futures: list[ResultFuture] = []
    for _ in range(40):
        beam = GenerationConfig(beam_size=generator.choice([1, 4, 8]), max_new_tokens=30)
        request = engine.submit([source()] * 100, beam)
        futures += request
        engine.cancel(request[generator.randrange(100) :])
        engine.cancel(generator.sample(futures, 50))
    engine.cancel(futures)
    assert all(future.done() for future in futures)
    until(lambda: not any(runner.running for runner in runners))
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.slots_used) == (0, 0, 0)
    assert engine._open == {}
    assert engine.alive
    [after] = engine.submit([source()], GREEDY)
    assert after.result(timeout=60).hypotheses


def test_the_source_tokens_of_all_are_counted(start: Open) -> None:
    engine, [runner] = start()
    before = time.monotonic()
    futures = engine.submit([source()] * 6, ENDLESS)
    until(lambda: runner.plans)
    stats = engine.stats()
    assert (stats.running_source_tokens, stats.waiting_source_tokens) == (8, 4)
    assert (stats.submitted_source_tokens, stats.admitted_source_tokens) == (12, 8)
    assert stats.waiting_since is not None
    assert before <= stats.waiting_since <= time.monotonic()
    engine.cancel(futures[4:])
    stats = engine.stats()
    assert (stats.waiting_source_tokens, stats.waiting_since) == (0, None)
    assert (stats.submitted_source_tokens, stats.admitted_source_tokens) == (12, 8)


# --- Deadlines


def test_a_deadline_ends_the_waiting_and_the_running(start: Open) -> None:
    engine, [runner] = start()
    futures = engine.submit([source()] * 6, ENDLESS, deadline=time.monotonic() + 0.05)

    def all_done() -> bool:
        runner.may_step.release()
        return all(future.done() for future in futures)

    until(all_done)
    assert all(isinstance(error_of(future), DeadlineExceededError) for future in futures)
    assert len(runner.plans[0].newcomers) == 4
    until(lambda: engine.stats().slots_used == 0)


def test_a_deadline_in_the_past_is_never_run(start: Open) -> None:
    engine, [runner] = start()
    know_speed(engine, seconds_a_row=1.0)
    [future] = engine.submit([source()], GREEDY, deadline=0.0)
    assert isinstance(error_of(future), DeadlineExceededError)
    assert runner.plans == []


def test_a_deadline_is_honoured_within_one_plan(start: Open) -> None:
    engine, [runner] = start()
    soon = time.monotonic() + 0.05
    [late] = engine.submit([source()], ENDLESS, deadline=soon)
    runner.step()
    until(lambda: time.monotonic() > soon)
    assert not late.done()
    runner.step(MAX_STEPS - 1)
    assert isinstance(error_of(late), DeadlineExceededError)
    until(lambda: runner.running == {})


# --- Death


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_step_answers_everybody_and_is_final(start: Open, workers: int) -> None:
    engine, [failing, *others] = start(workers)
    futures = engine.submit([source()] * 8, GREEDY)
    until(lambda: all(runner.plans for runner in (failing, *others)))
    failing.error = RuntimeError("device-side assert")
    failing.may_step.release()
    for future in futures:
        error = error_of(future)
        assert isinstance(error, EngineDeadError)
        assert "device-side assert" in str(error)
    assert not engine.alive
    with pytest.raises(EngineDeadError, match="device-side assert"):
        engine.submit([source()], GREEDY)
    assert engine.stats().slots_used == 0
    assert all(runner.num_interrupts for runner in others)
    until(lambda: failing.closed)
    engine._stop(None)  # interrupts only those that still run


def test_an_error_of_one_worker_ends_those_that_sleep(start: Open) -> None:
    engine, runners = start(workers=2)
    [future] = engine.submit([source()], GREEDY)
    until(lambda: any(runner.plans for runner in runners))
    [busy] = [runner for runner in runners if runner.plans]
    busy.error = RuntimeError("gone")
    busy.may_step.release()
    assert isinstance(error_of(future), EngineDeadError)
    until(lambda: all(runner.closed for runner in runners))


def test_who_is_cancelled_in_its_last_step_is_not_removed_again(start: Open) -> None:
    engine, [runner] = start()
    futures = engine.submit([source()] * 2, SHORT)
    until(lambda: runner.plans)
    engine.cancel(futures[:1])
    runner.step()
    assert futures[1].result(timeout=60).hypotheses
    assert isinstance(error_of(futures[0]), RequestCancelledError)
    [another] = engine.submit([source()], SHORT)
    runner.step()
    assert another.result(timeout=60).hypotheses
    assert [plan.removed for plan in runner.plans] == [(), ()]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_predictions_that_are_no_numbers_answer_everybody(beam_size: int) -> None:
    model = tiny_transformer()
    with torch.no_grad():
        model.encoder_layers[0].feed_forward.inner.bias[0] = math.nan
    engine = Engine(model, EAGER)
    generation = GenerationConfig(beam_size=beam_size, max_new_tokens=3)
    futures = engine.submit([source()] * 3, generation)
    for future in futures:
        assert isinstance(error_of(future), EngineDeadError)
        assert "predictions must be finite" in str(error_of(future))
    engine.close()
    assert not engine.alive


def test_an_error_before_the_first_step_answers_everybody() -> None:
    config = EngineConfig(device="cpu", backend="eager", num_threads=2**40)  # PyTorch refuses it
    engine = Engine(tiny_transformer(), config)
    with pytest.raises(EngineDeadError, match="the engine has died"):
        engine.submit([source()], GREEDY)[0].result(timeout=60)
    engine.close()


def test_a_callback_that_exits_takes_nobodys_answer(start: Open) -> None:
    def leave(_: ResultFuture) -> None:
        raise SystemExit

    engine, [runner] = start()
    futures = engine.submit([source()] * 4, SHORT)
    for future in futures:
        future.add_done_callback(leave)
    runner.step()
    assert all(future.result(timeout=60).hypotheses for future in futures)
    futures = engine.submit([source()] * 4, SHORT)
    for future in futures:
        future.add_done_callback(leave)
    engine.cancel(futures)
    assert all(isinstance(error_of(future), RequestCancelledError) for future in futures)
    assert engine.alive


@pytest.mark.parametrize("workers", [1, 2])
def test_callbacks_may_close_the_engine(start: Open, workers: int) -> None:
    engine, runners = start(workers)
    futures = engine.submit([source()] * 4, SHORT)
    closed = []

    def close(future: ResultFuture) -> None:
        engine.close()
        closed.append(future)

    for future in futures:
        future.add_done_callback(close)
    until(lambda: sum(len(runner.running) for runner in runners) == 4)
    for runner in runners:
        runner.may_step.release()
    until(lambda: len(closed) == 4)
    assert any(future.exception() is None for future in futures)
    assert all(isinstance(future.exception(), EngineDeadError | None) for future in futures)
    until(lambda: all(runner.closed for runner in runners))
    assert not engine.alive
    assert engine.stats().slots_used == 0


def test_who_finished_in_the_step_that_closes_the_engine_has_a_result(start: Open) -> None:
    engine, [runner] = start()
    first, second = engine.submit([source()] * 2, SHORT)
    first.add_done_callback(lambda _: engine.close())
    runner.step()
    assert second.result(timeout=60).hypotheses


def test_callbacks_may_submit_and_cancel(start: Open) -> None:
    engine, _ = start(gated=False)
    more: list[ResultFuture] = []

    def again(_: ResultFuture) -> None:
        more.extend(engine.submit([source()] * 2, GREEDY))
        engine.cancel(more[:1])

    [future] = engine.submit([source()], SHORT)
    future.add_done_callback(again)
    until(lambda: len(more) == 2)
    assert more[1].result(timeout=60).hypotheses


def test_closing_answers_everybody() -> None:
    runner = FakeRunner(1, gated=True)
    engine = Engine(tiny_transformer(), EngineConfig(), runners=[runner])
    futures = engine.submit([source()] * 3, GREEDY)
    until(lambda: runner.plans)
    closing = threading.Thread(target=engine.close)
    closing.start()
    assert wait(futures, timeout=60)
    runner.may_step.release(2)
    closing.join(timeout=60)
    assert not closing.is_alive()
    assert not engine.alive
    assert runner.closed
    engine.close()  # twice is harmless
    with pytest.raises(EngineDeadError, match="closed"):
        engine.submit([source()], GREEDY)


# --- Numbers


def test_notes_of_the_runners_are_the_engines() -> None:
    runners = [FakeRunner(notes=("slow",)), FakeRunner(notes=("slow",))]
    engine = Engine(tiny_transformer(), EngineConfig(), runners=runners)
    assert (engine.notes, engine.device, engine.dtype) == (("slow",), "fake", "float32")
    engine.close()


def test_several_steps_of_one_call_are_one_entry(start: Open) -> None:
    engine, [runner] = start(max_slots=8)
    engine.submit([[5, 6, EOS]] * 3, GenerationConfig(beam_size=2, max_new_tokens=5))
    runner.step(5)
    until(lambda: engine.stats().slots_used == 0)
    [step] = engine.drain_steps()
    assert (step.steps, step.rows, step.running) == (5, 30, 3)
    assert (step.newcomers, step.encoded_tokens) == (3, 9)
    assert engine.drain_steps() == []


def test_the_numbers_of_a_result_add_up() -> None:
    engine = Engine(tiny_transformer(), EAGER)
    try:
        results = [f.result(timeout=60) for f in engine.submit([[5, 6, EOS]] * 5, GREEDY)]
        steps = engine.drain_steps()
        stats = engine.stats()
    finally:
        engine.close()
    assert all(result.source_tokens == 3 for result in results)
    assert all(1 <= result.target_tokens <= 20 for result in results)
    assert sum(step.newcomers for step in steps) == 5
    assert sum(step.encoded_tokens for step in steps) == 15
    assert sum(step.rows for step in steps) == sum(result.target_tokens for result in results)
    assert sum(step.running * step.steps for step in steps) == sum(step.rows for step in steps)
    assert max(step.rows / step.steps for step in steps) == 4
    for result in results:
        assert 0 <= result.queue_seconds <= result.time_to_first_token_seconds
        assert result.encode_seconds > 0
        assert result.decode_seconds > 0
    assert (stats.running, stats.waiting, stats.slots_used, stats.max_slots) == (0, 0, 0, 4)


# --- All at once


def test_many_threads_submit_and_cancel_at_once(start: Open) -> None:
    engine, runners = start(workers=3, max_waiting=1000, gated=False)
    outcomes: list[BaseException | None] = []

    def client(number: int) -> None:
        generator = random.Random(number)
        for turn in range(30):
            limit = generator.randrange(1, 40)
            beam = GenerationConfig(beam_size=generator.choice([1, 2, 4]), max_new_tokens=limit)
            futures = engine.submit([source()] * 3, beam)
            if (number + turn) % 3 == 0:
                engine.cancel(futures[:2])
            outcomes.extend(future.exception(timeout=60) for future in futures)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    until(lambda: not any(runner.running for runner in runners))
    assert engine.stats().slots_used == 0
    assert engine.alive
    assert len(outcomes) == 720
    assert all(o is None or isinstance(o, RequestCancelledError) for o in outcomes)
    assert any(o is None for o in outcomes)


def test_a_runner_may_report_a_finish_one_call_late() -> None:
    class LateRunner(FakeRunner):
        def execute(self, plan) -> StepOutcome:
            outcome = super().execute(plan)
            late, self.late = self.late, outcome.finished
            outcome.finished = late
            return outcome

        late: list = []  # noqa: RUF012

    engine = Engine(tiny_transformer(), EngineConfig(), runners=[LateRunner()])
    results = [f.result(timeout=60) for f in engine.submit([source()] * 20, SHORT)]
    assert len(results) == 20
    engine.close()


# --- What is decided before the end


def test_who_asks_is_told_of_tokens_as_they_are_decided(start: Open) -> None:
    engine, [runner] = start()
    told: list[tuple[int, ...]] = []
    first, second = engine.submit([source(), source()], ENDLESS, on_decided=[told.append, None])
    runner.step(MAX_STEPS + 1)
    until(lambda: told)
    assert set(sum(told, ())) == {9}
    before = len(told)
    engine.cancel([first])
    runner.step(MAX_STEPS + 1)
    assert len(told) <= before + 1  # a call of the runner may have been about to end
    runner.ending = True
    runner.may_step.release(100)
    assert second.result(timeout=60).hypotheses[0].token_ids


def test_what_a_listener_raises_concerns_nobody_else(start: Open) -> None:
    engine, [runner] = start(gated=False)

    def fail(token_ids: tuple[int, ...]) -> None:
        raise ValueError(token_ids)

    [future] = engine.submit([source()], ENDLESS, on_decided=[fail])
    assert future.result(timeout=60).hypotheses
    assert engine.alive
    assert runner.outcomes


def test_a_source_with_phrases_is_not_told_of() -> None:
    options = SequenceOptions(phrases=(Phrase(forms=((5,),)),))
    sequence = make()
    sequence.on_decided = print
    assert sequence.reports
    sequence.options = options
    assert not sequence.reports


def test_nobody_is_admitted_before_they_came(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also who comes between a worker's look at the clock and its look at the queue."""
    engine, _ = start(gated=False)
    monotonic = time.monotonic
    late: list[ResultFuture] = []

    def clock() -> float:
        now = monotonic()
        is_workers = threading.current_thread() in engine._threads
        if is_workers and not late and not engine._changed._is_owned():  # type: ignore[attr-defined]
            caller = threading.Thread(target=lambda: late.extend(engine.submit([[EOS]], SHORT)))
            caller.start()
            caller.join(60)
        return now

    monkeypatch.setattr(time, "monotonic", clock)
    [first] = engine.submit([[EOS]], SHORT)
    assert first.result(timeout=60).queue_seconds >= 0
    until(lambda: late)
    assert late[0].result(timeout=60).queue_seconds >= 0


# --- Ctrl-C


class _Interruption:
    """Raises KeyboardInterrupt at the nth place of this thread where the interpreter may run a
    signal's handler: where a function of Python begins, and behind each call."""

    def __init__(self, nth: int) -> None:
        self._left = nth
        self.came = False

    def __enter__(self) -> None:
        sys.setprofile(self._count)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, _frame: object, event: str, _called: object) -> None:
        if event in ("call", "return", "c_return"):
            self._left -= 1
            if self._left == 0:
                self.came = True
                raise KeyboardInterrupt


# Within a generator that is thrown away, the interpreter reports an interruption, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_ends_wherever_a_ctrl_c_comes() -> None:
    """Whatever lock the interrupted thread had is free again: nobody else waits for it."""
    for nth in count(1):
        engine = Engine(tiny_transformer(), EngineConfig(), runners=[FakeRunner(4, gated=False)])
        interruption = _Interruption(nth)
        with suppress(KeyboardInterrupt), interruption:
            futures = engine.submit([source(), source(6)], GREEDY)
            wait(futures)
            engine.cancel(futures)
            engine.stats()
            engine.close()
        closing = threading.Thread(target=engine.close, daemon=True)
        closing.start()
        closing.join(30)
        assert not closing.is_alive(), f"interrupted at place {nth}"
        if not interruption.came:
            break
    assert nth > 50
