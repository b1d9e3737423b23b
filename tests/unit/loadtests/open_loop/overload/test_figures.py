"""What the requests of an overload come to."""

from __future__ import annotations

import pytest

from loadtests.open_loop.overload.exchange import Exchange
from loadtests.open_loop.overload.figures import PhaseName, record_of
from tests.unit.loadtests.open_loop.overload.exchanges import (
    KIND,
    answered,
    evenly,
    not_answered,
    overload_of,
    usual,
)


def test_goodput_counts_the_answers_that_come_in_the_overload() -> None:
    overload = overload_of(usual())
    # The last half second's answers come after its end.
    assert overload.goodput == pytest.approx(95 * 9.5 / 10, rel=0.01)
    assert overload.goodput_share == pytest.approx(0.95 * 9.5 / 10, rel=0.01)


def test_refusals_are_no_failures_and_everything_else_is() -> None:
    overload = overload_of(
        [
            answered(21),
            not_answered(22, 503, has_retry_after=True),
            not_answered(23, 429),
            not_answered(24, 504),
            not_answered(25, 500),
            not_answered(26, 0),
            Exchange(kind=KIND, planned=27),  # never sent
            Exchange(kind=KIND, planned=28, sent=28),  # under way
        ]
    )
    assert overload.failed == 4
    assert overload.refusals_by_status == {503: 1, 429: 1}
    assert overload.without_retry_after == 0.5


def test_late_is_what_was_taken_and_not_answered_in_time() -> None:
    exchanges = [
        answered(21, 0.9),
        answered(22, 1.1),
        answered(23, 0.9, delay=0.5),  # the generator's delay is not the service's
        not_answered(24, 504, 1.0),
        not_answered(25, 408, 1.0),
        not_answered(26, 503, 2.0),
        not_answered(27, 500, 2.0),
    ]
    assert overload_of(exchanges, deadline=1.0).late == 3
    assert overload_of(exchanges).late is None


def test_percentiles_are_of_the_overload_alone() -> None:
    overload = overload_of(
        [
            *(answered(t, 0.3) for t in evenly(20, 30, 10)),
            *(not_answered(t, 503, 0.002) for t in evenly(20, 30, 10)),
            *(not_answered(t, 503, 9.0) for t in evenly(0, 10, 10)),
            *(answered(t, 9.0) for t in evenly(30, 40, 10)),
        ]
    )
    assert overload.accepted_seconds(0.95) == pytest.approx(0.3, rel=0.01)
    assert overload.refusal_seconds(0.95) == pytest.approx(0.002, rel=0.01)


def test_recovery_is_the_first_second_as_quick_as_before() -> None:
    assert overload_of(usual()).recovery_seconds == pytest.approx(1.9)


def test_refusals_after_the_overload_are_no_recovery() -> None:
    exchanges = [
        *(answered(t) for t in evenly(10, 20, 20)),
        *(answered(t) for t in evenly(30, 40, 20)),
        *(not_answered(t, 503, 0.001) for t in evenly(30, 34, 20)),
    ]
    assert overload_of(exchanges).recovery_seconds == pytest.approx(3.9)


def test_what_does_not_come_back_is_said() -> None:
    exchanges = [answered(t) for t in evenly(10, 20, 20)]
    exchanges += [answered(t, 5.0) for t in evenly(30, 40, 20)]
    assert overload_of(exchanges).recovery_seconds is None


def test_the_backlog_of_the_search_is_not_how_quick_it_was_before() -> None:
    exchanges = [answered(t, 4.0) for t in evenly(10, 12, 20)]
    exchanges += [answered(t, 0.1) for t in evenly(12, 20, 20)]
    assert overload_of(exchanges).quick_seconds == pytest.approx(0.1, rel=0.01)


def test_a_test_that_ended_early_has_no_overload() -> None:
    whole = overload_of(usual())
    short = overload_of(usual(), phases=whole.phases[:2])
    assert short.goodput is short.goodput_share is short.recovery_seconds is None
    assert short.phase(PhaseName.OVERLOAD) is None


def test_the_record_has_every_request() -> None:
    exchanges = [
        answered(1, delay=0.5),
        not_answered(2, 503),
        Exchange(kind=KIND, planned=3),
        Exchange(kind=KIND, planned=4, sent=4),
    ]
    record = record_of(exchanges, 9.0)
    tally = record.kinds[KIND]
    assert (tally.planned, tally.right, tally.failed, tally.unsent, tally.unfinished) == (
        4, 1, 1, 1, 1,
    )  # fmt: skip
    assert tally.latencies.percentile(1.0) == pytest.approx(0.6, rel=0.01)
    assert record.elapsed == 9.0
