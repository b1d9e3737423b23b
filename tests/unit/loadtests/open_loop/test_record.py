"""What is kept of each request, and how several processes' records become one."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.open_loop.record import Histogram, Record, Tally

KIND = "/v1/translate (list)"


@given(
    durations=st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=60),
    share=st.floats(0.01, 1.0),
)
def test_a_percentile_is_within_half_a_percent(durations: list[float], share: float) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    exact = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert histogram.percentile(share) == pytest.approx(exact, rel=0.0051)


def test_nothing_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


def test_what_took_no_time_has_a_place_too() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    assert histogram.percentile(1.0) == pytest.approx(1e-5, rel=0.01)


def _of_one_process(offset: float) -> Record:
    record = Record(elapsed=4.0 + offset)
    for planned in (0.5, 1.5, 1.6):
        record.plan(KIND, int(planned))
        record.send(0.002)
    record.answer(KIND, 0.5, 1.25 + offset, None)
    record.answer(KIND, 1.5, 1.75, "no answer: TimeoutError")
    record.plan(KIND, 1)
    record.leave_unsent(KIND, 1)
    return record


def test_requests_count_where_they_were_planned_and_answers_where_they_came() -> None:
    record = _of_one_process(0.0)
    assert (record.seconds[0].planned, record.seconds[0].right) == (1, 1)
    second = record.seconds[1]
    assert (second.planned, second.right, second.failed, second.unsent) == (3, 0, 1, 1)
    assert second.unfinished == 1
    assert record.answered == {1: 1}
    assert record.faults == {"no answer: TimeoutError": 1}
    assert record.between(0, 1).latencies.percentile(1.0) == pytest.approx(0.75, rel=0.01)
    assert len(record.kinds[KIND].latencies) == 1, "only right answers have a latency"
    assert len(record.delays) == 3


def test_records_travel_and_add_up() -> None:
    total = Record()
    for offset in (0.0, 1.0):
        sent = json.dumps(_of_one_process(offset).as_json())
        total.merge(Record.from_json(json.loads(sent)))
    assert (total.kinds[KIND].planned, total.kinds[KIND].right) == (8, 2)
    assert total.between(0, 2).planned == 8
    assert total.between(1, 2).unsent == 2
    assert total.answered == {1: 1, 2: 1}
    assert total.faults == {"no answer: TimeoutError": 2}
    assert total.elapsed == 5.0
    assert total.kinds[KIND].latencies.percentile(1.0) == pytest.approx(1.75, rel=0.01)


def test_a_sum_leaves_its_parts_alone() -> None:
    parts = [_of_one_process(0.0).kinds[KIND] for _ in range(2)]
    assert Tally.sum(parts).planned == 8
    assert [part.planned for part in parts] == [4, 4]
    assert [len(part.latencies) for part in parts] == [1, 1]
