"""What becomes of requests, as masks and figures of a table."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.open_loop.exchanges import Exchange, Exchanges, percentile
from tests.unit.loadtests.open_loop.results import KIND, answered, not_answered, unsent

OTHER = "/v1/translate (list)"


@given(durations=st.lists(st.floats(0, 1e4), min_size=1, max_size=60), share=st.floats(0.01, 1.0))
def test_a_percentile_is_the_smallest_that_so_many_do_not_exceed(
    durations: list[float], share: float
) -> None:
    found = percentile(np.array(durations), share)
    assert found in durations
    assert sum(one <= found for one in durations) >= share * len(durations) - 1e-9
    assert sum(one < found for one in durations) < share * len(durations)


def test_nothing_has_no_percentile() -> None:
    assert percentile(np.array([]), 0.5) is None
    assert Exchanges().figures()["p50_ms"] is None


@pytest.fixture
def mixed() -> Exchanges:
    return Exchanges(
        [
            answered(0.5, 0.7, delay=0.1),
            not_answered(1.5),
            not_answered(1.6, 503, has_retry_after=True),
            unsent(1.7),
            Exchange(kind=OTHER, planned=1.8, sent=1.8),  # under way
            Exchange(kind=OTHER, planned=1.9),  # waits for a place
        ]
    )


def test_each_request_is_one_thing(mixed: Exchanges) -> None:
    masks = (mixed.right, mixed.failed, mixed.unsent, mixed.unfinished)
    assert [[i for i in range(6) if mask[i]] for mask in masks] == [[0], [1, 2], [3], [4, 5]]
    assert mixed.refused.tolist() == [False, False, True, False, False, False]


def test_requests_count_where_they_were_planned_and_answers_where_they_came(
    mixed: Exchanges,
) -> None:
    assert len(mixed.planned_between(0, 1)) == 1
    assert len(mixed.planned_between(1, 2)) == 5
    assert (mixed.answered_between(0, 1), mixed.answered_between(1, 2)) == (0, 1)


def test_latency_counts_from_the_planned_time_and_of_right_answers(mixed: Exchanges) -> None:
    assert mixed.latencies == pytest.approx([0.8])
    assert mixed.seconds[0] == pytest.approx(0.7)
    assert mixed.send_delays == pytest.approx([0.1, 0, 0, 0])


def test_lost_requests_are_endless_and_those_under_way_do_not_count(mixed: Exchanges) -> None:
    assert mixed.latency_of_all(0.25) == pytest.approx(0.8)
    assert mixed.latency_of_all(0.26) is None
    assert Exchanges().latency_of_all(0.5) is None


def test_kinds_and_faults_are_counted(mixed: Exchanges) -> None:
    assert {kind: len(part) for kind, part in mixed.kinds.items()} == {KIND: 4, OTHER: 2}
    assert mixed.faults == {
        "the status must be 200, but is 500": 1,
        "the status must be 200, but is 503": 1,
    }


def test_tables_travel_and_add_up(mixed: Exchanges) -> None:
    sent = pickle.loads(pickle.dumps(mixed))
    total = Exchanges.joined([mixed, sent, Exchanges()])
    assert len(total) == 12
    assert total.faults.total() == 4
    assert math.isnan(total.ended[-1])
    assert len(Exchanges.joined([])) == 0
