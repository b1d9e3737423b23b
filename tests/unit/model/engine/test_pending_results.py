"""Results that come when the runner has gone on: who gets them, in what order, what may fail."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from model.config import EngineConfig, GenerationConfig
from model.engine.deliveries import MOST_PENDING, Deliveries
from model.engine.engine import Engine
from model.engine.runner import FinishedSequence, FinishedSequences, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import EngineDeadError, RequestCancelledError
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import EOS, FakeRunner, until

SHORT = GenerationConfig(beam_size=1, max_new_tokens=1)
SOURCE = [5, EOS]


class Pending:
    """Results that are there once `may_come` is set."""

    def __init__(self, finished: list[FinishedSequence], may_come: threading.Event) -> None:
        self._finished = finished
        self._may_come = may_come

    @property
    def sequences(self) -> list[Sequence]:
        return [done.sequence for done in self._finished]

    def wait(self) -> FinishedSequences:
        assert self._may_come.wait(60)
        return FinishedSequences(self.sequences, [done.hypotheses for done in self._finished])


class LateRunner(FakeRunner):
    """What it finishes is pending; `change` is what becomes of it."""

    def __init__(self, max_slots: int = 4, *, gated: bool = False) -> None:
        super().__init__(max_slots, gated=gated)
        self.may_come = threading.Event()
        self.num_pending = 0
        self.change: Callable[[FinishedSequence], FinishedSequence] = lambda done: done

    def execute(self, plan: StepPlan) -> StepOutcome:
        outcome = super().execute(plan)
        if outcome.finished:
            self.num_pending += len(outcome.finished)
            changed = [self.change(done) for done in outcome.finished]
            outcome.pending, outcome.finished = [Pending(changed, self.may_come)], []
        return outcome


def start(runner: LateRunner) -> Engine:
    return Engine(tiny_transformer(), EngineConfig(), runners=[runner])


def test_who_is_cancelled_while_the_result_is_under_way_has_none() -> None:
    engine = start(runner := LateRunner(1))
    [given_up] = engine.submit([SOURCE], SHORT)
    until(lambda: runner.num_pending == 1)
    engine.cancel([given_up])
    assert isinstance(given_up.exception(timeout=60), RequestCancelledError)
    [other] = engine.submit([SOURCE], SHORT)
    runner.may_come.set()
    assert other.result(timeout=60).hypotheses
    assert not any(plan.removed for plan in runner.plans)
    engine.close()


def test_tokens_are_told_before_the_result() -> None:
    engine = start(runner := LateRunner())
    runner.may_come.set()
    told: list[object] = []
    search = GenerationConfig(beam_size=1, max_new_tokens=40)
    [future] = engine.submit([SOURCE], search, on_decided=[told.append])
    future.add_done_callback(told.append)
    until(lambda: future in told)
    assert told[-1] is future
    assert len(told) > 1
    engine.close()


def test_closing_answers_who_waits_for_a_result() -> None:
    engine = start(runner := LateRunner())
    futures = engine.submit([SOURCE] * 4, SHORT)
    until(lambda: runner.num_pending == 4)
    closing = threading.Thread(target=engine.close)
    closing.start()
    for future in futures:
        assert isinstance(future.exception(timeout=60), EngineDeadError)
    runner.may_come.set()
    closing.join(timeout=60)
    assert not closing.is_alive()


def test_what_is_no_result_is_an_error_of_its_own_caller_and_of_nobody_else() -> None:
    engine = start(runner := LateRunner())
    runner.may_come.set()
    runner.change = lambda done: (
        done._replace(hypotheses=()) if done.sequence.source_len == 3 else done
    )
    broken, whole = engine.submit([[5, 6, EOS], SOURCE], SHORT)
    assert isinstance(broken.exception(timeout=60), IndexError)
    assert whole.result(timeout=60).hypotheses
    engine.close()


def test_callbacks_on_both_threads_may_close_the_engine() -> None:
    engine = start(runner := LateRunner())
    runner.may_come.set()
    both = threading.Barrier(2)
    closed: list[str] = []

    def close(_: object) -> None:
        both.wait(60)
        engine.close()
        closed.append(threading.current_thread().name)

    [first] = engine.submit([SOURCE], GenerationConfig(beam_size=1, max_new_tokens=20))
    first.add_done_callback(close)
    until(lambda: runner.num_pending == 1)
    engine.submit([SOURCE], GenerationConfig(beam_size=1, max_new_tokens=40), on_decided=[close])
    until(lambda: len(closed) == 2)
    assert sorted(closed) == ["polyhead-engine-0", "polyhead-results"]
    assert runner.closed


def test_a_runner_that_is_ahead_waits_for_its_results_to_be_taken() -> None:
    num_put, most = 0, 0
    delivered: list[object] = []

    def deliver(results: object) -> None:
        nonlocal most
        until(lambda: num_put >= MOST_PENDING)
        delivered.append(results)
        most = max(most, num_put - len(delivered))

    def put() -> None:
        nonlocal num_put
        for number in range(50 * MOST_PENDING):
            deliveries.put(number)  # type: ignore[arg-type]
            num_put += 1

    deliveries = Deliveries(deliver)
    ahead = threading.Thread(target=put, daemon=True)
    ahead.start()
    ahead.join(timeout=60)
    assert not ahead.is_alive()
    deliveries.end()
    deliveries.join()
    assert delivered == [*range(50 * MOST_PENDING)]
    assert most <= MOST_PENDING


def test_nobody_waits_to_put_results_after_the_end() -> None:
    may_go = threading.Event()
    deliveries = Deliveries(lambda _: until(may_go.is_set))
    num_put = 0

    def put() -> None:
        nonlocal num_put
        for _ in range(2 * MOST_PENDING):
            deliveries.put(0)  # type: ignore[arg-type]
            num_put += 1

    waiting = [threading.Thread(target=put, daemon=True) for _ in range(2)]
    for thread in waiting:
        thread.start()
    until(lambda: num_put >= MOST_PENDING - 2)
    deliveries.end()
    for thread in waiting:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in waiting)
    may_go.set()
    deliveries.join()


def test_a_thread_that_cannot_be_started_ends_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(runner := LateRunner())
    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "polyhead-results":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    [future] = engine.submit([SOURCE], SHORT)
    assert isinstance(future.exception(timeout=60), EngineDeadError)
    engine.close()
    assert runner.closed
