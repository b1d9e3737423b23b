"""What an engine tells of its batch: nothing while nobody watches, and never too much."""

from __future__ import annotations

import pytest

from model.config import EngineConfig, GenerationConfig
from model.engine import batch_trace
from model.engine.batch_trace import BatchTrace
from model.engine.engine import Engine
from model.engine.runner import FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import EOS, FakeRunner, make, until

ENDLESS = GenerationConfig(beam_size=1, max_new_tokens=64)


def running(sequence: Sequence, *slots: int) -> Sequence:
    sequence.slots = list(slots)
    return sequence


def step(
    trace: BatchTrace,
    *newcomers: Sequence,
    removed: tuple[Sequence, ...] = (),
    finished: tuple[Sequence, ...] = (),
) -> None:
    outcome = StepOutcome(steps=2, rows=5, finished=[FinishedSequence(one, ()) for one in finished])
    plan = StepPlan(removed=removed, newcomers=newcomers, max_steps=2)
    trace.add(0, plan, outcome, waiting=3, began_at=1.0, ended_at=1.5)


def test_sequences_join_and_leave() -> None:
    trace = BatchTrace((8,))
    first, second = running(make(4), 0), running(make(2, beam_size=2), 1, 2)
    step(trace, first)
    step(trace, second, finished=(first,))
    record = trace.take(2.0)
    assert record is not None
    assert (record.taken_at, record.max_slots, record.dropped) == (2.0, (8,), 0)
    one, other = record.steps
    assert (one.ended_at, one.seconds, one.steps, one.rows, one.waiting) == (1.5, 0.5, 2, 5, 3)
    assert one.joined == ((1, 0, (0,), 4),)
    assert other.joined == ((2, 0, (1, 2), 2),) == record.running
    assert (other.finished, other.cancelled) == ((1,), ())
    step(trace, removed=(second,))
    record = trace.take(3.0)
    assert record is not None
    assert record.steps[0].cancelled == (2,)
    assert record.running == ()
    assert trace.take(4.0) is None


def test_who_runs_when_it_begins_is_known_once() -> None:
    early = running(make(3), 0)
    trace = BatchTrace((4, 4), [[], [early]])
    step(trace, early)  # its plan was made before
    record = trace.take(2.0)
    assert record is not None
    assert record.running == ((1, 1, (0,), 3),)


def test_only_so_many_steps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_trace, "_MAX_STEPS_KEPT", 5)
    trace = BatchTrace((4,))
    for _ in range(12):
        sequence = running(make(), 0)
        step(trace, sequence, finished=(sequence,))
    record = trace.take(2.0)
    assert record is not None
    assert (len(record.steps), record.dropped) == (5, 7)
    assert trace._running == {}


def test_an_engine_takes_note_only_while_it_is_watched() -> None:
    runner = FakeRunner(4, gated=True)
    with_runner = EngineConfig(max_waiting=8)
    engine = Engine(tiny_transformer(), with_runner, runners=[runner])
    try:
        [first] = engine.submit([[5, EOS]], ENDLESS)
        runner.step()
        assert engine.take_trace() is None
        assert engine._trace is None

        engine.trace(True)
        engine.trace(True)
        [second] = engine.submit([[6, 7, EOS]], ENDLESS)
        until(lambda: _advanced(runner) and len(runner.running) == 2)
        engine.cancel([first])
        until(lambda: _advanced(runner) and len(runner.running) == 1)
        runner.ending = True
        runner.may_step.release(100)
        second.result(timeout=60)
        until(lambda: engine.stats().running == 0)
        record = engine.take_trace()
        assert record is not None
        assert record.max_slots == (4,)
        joined = [each.source_tokens for one in record.steps for each in one.joined]
        left = [number for one in record.steps for number in (*one.cancelled, *one.finished)]
        assert joined[-1] == 3
        assert sorted(left) == [1, 2]
        assert record.running == ()
        assert all(one.ended_at >= record.steps[0].ended_at for one in record.steps)

        engine.trace(False)
        assert engine.take_trace() is None
        assert engine._trace is None
    finally:
        runner.may_step.release(10_000)
        engine.close()


def _advanced(runner: FakeRunner) -> bool:
    runner.may_step.release()
    return True
