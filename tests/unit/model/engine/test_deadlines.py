"""Deadlines come up in time, and nothing keeps those that no longer matter."""

from model.engine.deadlines import Deadlines
from model.engine.sequence import SequenceStatus
from tests.unit.model.engine.fake_runner import make


def test_the_expired_come_soonest_first_and_once() -> None:
    deadlines = Deadlines()
    late, soon, never, later = (make(deadline=d) for d in (6.0, 5.0, None, 9.0))
    for sequence in (late, soon, never, later):
        deadlines.add([sequence])
    assert deadlines.pop_expired(4.9) == []
    assert deadlines.pop_expired(6.0) == [soon, late]
    assert deadlines.pop_expired(6.0) == []
    later.status = SequenceStatus.FINISHED
    assert deadlines.pop_expired(10.0) == []
    assert len(deadlines) == 0


def test_those_of_the_finished_are_forgotten_under_constant_load() -> None:
    """One sequence that goes on and on keeps the engine from ever being idle."""
    deadlines = Deadlines()
    endless = make(deadline=5.0)
    deadlines.add([endless])
    for _ in range(10_000):
        sequence = make(deadline=1e9)
        deadlines.add([sequence])
        sequence.status = SequenceStatus.FINISHED
        assert len(deadlines) <= 64
    assert deadlines.pop_expired(5.0) == [endless]


def test_as_many_are_remembered_as_are_not_done() -> None:
    deadlines = Deadlines()
    for number in range(1000):
        deadlines.add([make(deadline=float(number))])
    assert len(deadlines) == 1000
    assert len(deadlines.pop_expired(499.0)) == 500
