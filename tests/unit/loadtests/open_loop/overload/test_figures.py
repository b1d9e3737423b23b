"""What the requests of an overload come to."""

from __future__ import annotations

import pytest

from loadtests.open_loop.exchanges import Exchange
from loadtests.open_loop.overload.figures import Phase, PhaseName, turns
from tests.unit.loadtests.open_loop.overload.overloads import overload_of, usual
from tests.unit.loadtests.open_loop.results import KIND, answered, evenly, not_answered, unsent


def test_goodput_counts_the_answers_that_come_in_a_phase_once_it_has_settled() -> None:
    overload = overload_of(
        [
            *(answered(t, 0.5) for t in evenly(20, 30, 100)),
            *(answered(t, 0.5) for t in evenly(30, 32, 400)),  # those of the peak, still
            *(answered(t, 0.5) for t in evenly(32, 40, 95)),
        ]
    )
    assert overload.figures()["peak_goodput"] == pytest.approx(100, rel=0.01)
    # Half a second's answers come while it settles, and half a second's after its end.
    assert overload.figures()["goodput"] == pytest.approx((400 * 0.5 + 95 * 7.5) / 8, rel=0.01)


def test_turns_are_compared_together_and_each_with_its_neighbours() -> None:
    rates = [("overload", 80), ("peak", 100), ("overload", 120), ("peak", 50), ("overload", 40)]
    phases = [
        Phase(name=PhaseName(name), rate=1.0, began=10.0 * turn, ended=10.0 * (turn + 1))
        for turn, (name, _) in enumerate(rates)
    ]
    exchanges = [
        answered(t, 0.001)
        for phase, (_, rate) in zip(phases, rates, strict=True)
        for t in evenly(phase.began, phase.ended, rate)
    ]
    overload = overload_of(exchanges, phases=phases)
    assert overload.figures()["goodput"] == pytest.approx(80, rel=0.01)
    assert overload.figures()["peak_goodput"] == pytest.approx(75, rel=0.01)
    assert overload.figures()["goodput_share"] == pytest.approx(80 / 75, rel=0.01)
    assert overload.figures()["turn_shares"] == pytest.approx([0.8, 1.2, 2.4, 0.8], rel=0.01)
    assert overload.figures()["generator_cpu"] == pytest.approx(1 / 30, rel=1e-3)


@pytest.mark.parametrize("seconds", [1.0, 20.0, 29.0, 60.0, 600.0])
def test_turns_have_as_much_of_each_with_the_same_middle(seconds: float) -> None:
    began = 0.0
    moments: dict[PhaseName, list[tuple[float, float]]] = {}
    for name, length in turns(seconds):
        moments.setdefault(name, []).append((began + length / 2, length))
        began += length
    assert list(moments) == [PhaseName.OVERLOAD, PhaseName.PEAK]
    for phases in moments.values():
        assert sum(length for _, length in phases) == pytest.approx(seconds)
        middle = sum(at * length for at, length in phases) / seconds
        assert middle == pytest.approx(seconds)
        assert max(length for _, length in phases) < 30


def test_refusals_are_no_failures_and_everything_else_is() -> None:
    overload = overload_of(
        [
            answered(31),
            not_answered(32, 503, has_retry_after=True),
            not_answered(33, 429),
            not_answered(34, 504),
            not_answered(35, 500),
            not_answered(36, 0),
            unsent(37),
            Exchange(kind=KIND, planned=38, sent=38),  # under way
        ]
    )
    assert overload.figures()["failed"] == 4
    assert overload.figures()["refusals_by_status"] == {"429": 1, "503": 1}
    assert overload.figures()["without_retry_after"] == 0.5


def test_late_is_what_was_taken_and_not_answered_in_time() -> None:
    exchanges = [
        answered(31, 0.9),
        answered(32, 1.1),
        answered(33, 0.9, delay=0.5),  # the generator's delay is not the service's
        not_answered(34, 504, 1.0),
        not_answered(35, 408, 1.0),
        not_answered(36, 503, 2.0),
        not_answered(37, 500, 2.0),
    ]
    assert overload_of(exchanges, deadline=1.0).figures()["late"] == 3
    assert overload_of(exchanges).figures()["late"] is None


def test_percentiles_are_of_the_overload_alone() -> None:
    overload = overload_of(
        [
            *(answered(t, 0.3) for t in evenly(30, 40, 10)),
            *(not_answered(t, 503, 0.002) for t in evenly(30, 40, 10)),
            *(not_answered(t, 503, 9.0) for t in evenly(0, 10, 10)),
            *(answered(t, 9.0) for t in evenly(40, 50, 10)),
        ]
    )
    assert overload.figures()["accepted_p95_ms"] == pytest.approx(300, rel=0.01)
    assert overload.figures()["refusal_p95_ms"] == pytest.approx(2, rel=0.01)


def test_recovery_is_the_first_second_as_quick_as_before() -> None:
    assert overload_of(usual()).figures()["recovery_seconds"] == pytest.approx(1.9)


def test_refusals_after_the_overload_are_no_recovery() -> None:
    exchanges = [
        *(answered(t) for t in evenly(10, 20, 20)),
        *(answered(t) for t in evenly(40, 50, 20)),
        *(not_answered(t, 503, 0.001) for t in evenly(40, 44, 20)),
    ]
    assert overload_of(exchanges).figures()["recovery_seconds"] == pytest.approx(3.9)


def test_what_does_not_come_back_is_said() -> None:
    exchanges = [answered(t) for t in evenly(10, 20, 20)]
    exchanges += [answered(t, 5.0) for t in evenly(40, 50, 20)]
    assert overload_of(exchanges).figures()["recovery_seconds"] is None


def test_the_backlog_of_the_search_is_not_how_quick_it_was_before() -> None:
    exchanges = [answered(t, 4.0) for t in evenly(10, 12, 20)]
    exchanges += [answered(t, 0.1) for t in evenly(12, 20, 20)]
    assert overload_of(exchanges).figures()["before_p95_ms"] == pytest.approx(100, rel=0.01)


def test_a_test_that_ended_early_has_no_overload() -> None:
    whole = overload_of(usual())
    short = overload_of(usual(), phases=whole.phases[:2])
    assert (
        short.figures()["goodput"]
        is short.figures()["goodput_share"]
        is short.figures()["recovery_seconds"]
        is None
    )
    assert short.all(PhaseName.OVERLOAD) == []
