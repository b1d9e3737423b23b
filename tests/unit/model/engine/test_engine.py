"""The engine's promises to its callers: bounds, cancellation, deadlines, death."""

import math
import threading
import time
from concurrent.futures import Future, wait

import pytest
import torch

from model.config import EngineConfig, GenerationConfig
from model.decoding.search import Candidate
from model.engine.engine import Engine
from model.engine.scheduler import StepPlan
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
)
from tests.tiny_model import tiny_transformer

GREEDY = GenerationConfig(beam_size=1, max_new_tokens=20)
ENDLESS = GenerationConfig(beam_size=1, max_new_tokens=64)
EOS = 2


class GatedRunner:
    """Takes a step only when told to, and ends a sequence when told to."""

    def __init__(self) -> None:
        self.may_step = threading.Semaphore(0)
        self.plans: list[StepPlan] = []
        self.ending = False
        self.error: Exception | None = None

    def execute(self, plan: StepPlan) -> dict[int, list[Candidate]]:
        assert self.may_step.acquire(timeout=60)
        if self.error is not None:
            raise self.error
        self.plans.append(plan)
        token = EOS if self.ending else 9
        return {
            id(s): [Candidate(i % s.beam_size, token, -1.0 - i) for i in range(2 * s.beam_size)]
            for s in plan.running
        }


@pytest.fixture
def gate() -> GatedRunner:
    return GatedRunner()


@pytest.fixture
def engine(gate: GatedRunner):
    config = EngineConfig(device="cpu", max_slots=4, max_waiting=8)
    engine = Engine(tiny_transformer(), config, runner=gate)
    yield engine
    gate.ending = True
    for _ in range(200):
        gate.may_step.release()
    engine.close()


def error_of(future: Future) -> BaseException | None:
    return future.exception(timeout=60)


def until(condition) -> None:
    """Waits for another thread to make a condition true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        threading.Event().wait(0.001)


def test_a_source_must_fit_the_model(engine: Engine) -> None:
    for source in ([], [5] * 65):
        with pytest.raises(InvalidRequestError, match="must have 1 to 64 tokens, but has"):
            engine.submit([source], GREEDY)
    with pytest.raises(InvalidRequestError, match=r"source ids must be in \[0, 400\)"):
        engine.submit([[5, 400]], GREEDY)
    with pytest.raises(InvalidRequestError, match="`beam_size` must be at most 4"):
        engine.submit([[5, EOS]], GenerationConfig(beam_size=5))


def test_a_deadline_is_a_number(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="`deadline` must be seconds, but is nan"):
        engine.submit([[5, EOS]], GREEDY, deadline=math.nan)


@pytest.mark.parametrize("device", ["meta", "mps", "cuda:99", "tpu"])
def test_a_device_that_cannot_be_is_named(device: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"`device` .*is '{device}'"):
        Engine(tiny_transformer(), EngineConfig(device=device))


def test_the_waiting_queue_is_bounded_all_or_nothing(engine: Engine) -> None:
    engine.submit([[5, EOS]] * 6, GREEDY)
    with pytest.raises(QueueFullError, match="of 8"):
        engine.submit([[5, EOS]] * 9, GREEDY)
    assert engine.stats().waiting <= 8


def test_cancelled_slots_are_free_within_one_step(engine: Engine, gate: GatedRunner) -> None:
    futures = engine.submit([[5, EOS]] * 4, GREEDY)
    (newcomer,) = engine.submit([[6, EOS]], GREEDY)
    gate.may_step.release()
    until(lambda: len(gate.plans) == 1)
    engine.cancel(futures[:2])
    gate.may_step.release()  # the step that was under way already
    until(lambda: len(gate.plans) == 2)
    gate.may_step.release()
    until(lambda: len(gate.plans) == 3)
    assert [len(plan.running) for plan in gate.plans] == [4, 4, 3]
    assert gate.plans[2].newcomers[0].future is newcomer
    for future in futures[:2]:
        assert isinstance(error_of(future), RequestCancelledError)


def test_cancelling_twice_or_too_late_is_harmless(engine: Engine, gate: GatedRunner) -> None:
    (future,) = engine.submit([[5, EOS]], GREEDY)
    gate.ending = True
    gate.may_step.release()
    assert future.result(timeout=60).hypotheses
    engine.cancel([future])
    engine.cancel([future, Future()])
    (another,) = engine.submit([[5, EOS]], GREEDY)
    gate.may_step.release()
    assert another.result(timeout=60).hypotheses


def test_a_future_cannot_be_taken_from_the_engine(engine: Engine, gate: GatedRunner) -> None:
    (future,) = engine.submit([[5, EOS]], GREEDY)
    assert not future.cancel()
    gate.ending = True
    gate.may_step.release()
    assert future.result(timeout=60).hypotheses


def test_a_deadline_ends_the_waiting_and_the_running(engine: Engine, gate: GatedRunner) -> None:
    soon = time.monotonic() + 0.05
    futures = engine.submit([[5, EOS]] * 6, ENDLESS, deadline=soon)

    def all_done() -> bool:
        gate.may_step.release()
        return all(future.done() for future in futures)

    until(all_done)
    assert all(isinstance(error_of(f), DeadlineExceededError) for f in futures)
    assert any(len(plan.running) == 4 for plan in gate.plans)
    until(lambda: engine.stats().slots_used == 0)


def test_an_error_in_a_step_answers_everybody_and_is_final(
    engine: Engine, gate: GatedRunner
) -> None:
    futures = engine.submit([[5, EOS]] * 6, GREEDY)
    gate.error = RuntimeError("device-side assert")
    gate.may_step.release()
    for future in futures:
        error = error_of(future)
        assert isinstance(error, EngineDeadError)
        assert "device-side assert" in str(error)
    until(lambda: not engine.alive)
    with pytest.raises(EngineDeadError, match="device-side assert"):
        engine.submit([[5, EOS]], GREEDY)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_predictions_that_are_no_numbers_answer_everybody(beam_size: int) -> None:
    model = tiny_transformer()
    with torch.no_grad():
        model.encoder_layers[0].feed_forward.inner.bias[0] = math.nan
    engine = Engine(model, EngineConfig(device="cpu", max_slots=8))
    generation = GenerationConfig(beam_size=beam_size, max_new_tokens=3)
    futures = engine.submit([[5, EOS]] * 3, generation)
    for future in futures:
        assert isinstance(error_of(future), EngineDeadError)
        assert "predictions must be finite" in str(error_of(future))
    engine.close()
    assert not engine.alive


def test_an_error_before_the_first_step_answers_everybody() -> None:
    config = EngineConfig(device="cpu", max_slots=4, num_threads=2**40)  # PyTorch refuses it
    engine = Engine(tiny_transformer(), config)
    with pytest.raises(EngineDeadError, match="the engine has died"):
        engine.submit([[5, EOS]], GREEDY)[0].result(timeout=60)
    engine.close()


def test_a_callback_that_exits_takes_nobodys_answer(engine: Engine, gate: GatedRunner) -> None:
    def leave(_: Future) -> None:
        raise SystemExit

    futures = engine.submit([[5, EOS]] * 4, GREEDY)
    for future in futures:
        future.add_done_callback(leave)
    gate.ending = True
    gate.may_step.release()
    assert futures[0].result(timeout=60).hypotheses
    assert all(isinstance(error_of(future), EngineDeadError) for future in futures[1:])
    assert not engine.alive


def test_a_callback_may_close_the_engine(engine: Engine, gate: GatedRunner) -> None:
    first, second = engine.submit([[5, EOS]] * 2, GREEDY)
    closed = threading.Event()

    def close(_: Future) -> None:
        engine.close()
        closed.set()

    first.add_done_callback(close)
    gate.ending = True
    gate.may_step.release()
    assert closed.wait(timeout=60)
    assert second.result(timeout=60).hypotheses
    until(lambda: not engine.alive)
    assert engine.stats().slots_used == 0


def test_closing_answers_everybody() -> None:
    gate = GatedRunner()
    engine = Engine(tiny_transformer(), EngineConfig(device="cpu", max_slots=1), runner=gate)
    futures = engine.submit([[5, EOS]] * 3, GREEDY)
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.may_step.release()
    gate.may_step.release()
    closing.join(timeout=60)
    assert not closing.is_alive()
    not_done = wait(futures, timeout=60).not_done
    assert not not_done
    assert not engine.alive
    engine.close()  # twice is harmless
    with pytest.raises(EngineDeadError, match="closed"):
        engine.submit([[5, EOS]], GREEDY)


def test_the_numbers_of_a_result_add_up() -> None:
    engine = Engine(tiny_transformer(), EngineConfig(device="cpu", max_slots=4))
    try:
        results = [f.result(timeout=60) for f in engine.submit([[5, 6, EOS]] * 6, GREEDY)]
        steps = engine.drain_steps()
        assert engine.drain_steps() == []
        until(lambda: engine.stats().slots_used == 0)
        stats = engine.stats()
    finally:
        engine.close()
    assert all(result.source_tokens == 3 for result in results)
    assert all(1 <= result.target_tokens <= 20 for result in results)
    assert sum(step.newcomers for step in steps) == 6
    assert sum(step.encoded_tokens for step in steps) == 18
    assert sum(step.rows for step in steps) == sum(result.target_tokens for result in results)
    assert max(step.rows for step in steps) == 4
    for result in results:
        assert 0 <= result.queue_seconds <= result.time_to_first_token_seconds
        assert result.encode_seconds > 0
        assert result.decode_seconds > 0
    assert (stats.running, stats.waiting, stats.max_slots) == (0, 0, 4)


def test_many_threads_submit_and_cancel_at_once() -> None:
    engine = Engine(tiny_transformer(), EngineConfig(device="cpu", max_slots=6))
    outcomes: list[BaseException | None] = []

    def client(number: int) -> None:
        for turn in range(10):
            futures = engine.submit([[5 + number, 6, EOS]] * 3, GREEDY)
            if (number + turn) % 3 == 0:
                engine.cancel(futures[:2])
            outcomes.extend(future.exception(timeout=60) for future in futures)

    try:
        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        until(lambda: engine.stats().slots_used == 0)
        assert engine.alive
    finally:
        engine.close()
    assert len(outcomes) == 240
    assert all(o is None or isinstance(o, RequestCancelledError) for o in outcomes)
    assert any(o is None for o in outcomes)
