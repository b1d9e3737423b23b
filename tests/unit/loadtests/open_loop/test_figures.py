"""Thresholds, notes and totals of a load test."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.open_loop.exchanges import Exchange
from loadtests.open_loop.generator import Ending
from tests.unit.loadtests.open_loop.results import (
    KIND,
    answered,
    not_answered,
    recorded,
    result_of,
    unsent,
)

TEN_SECONDS = [(20, 0.1)] * 10


@pytest.mark.parametrize(
    ("thresholds", "misses"),
    [
        ({}, []),
        ({"max_p95_ms": 110.0, "max_p99_ms": 110.0, "min_throughput": 19.0}, []),
        ({"max_failures": 0.005}, []),
        ({"max_p95_ms": 90.0}, ["`p95_ms_of_all` must be at most 90, but is 100"]),
        ({"max_p99_ms": 90.0}, ["`p99_ms_of_all` must be at most 90, but is 100"]),
        ({"max_failures": 0.004}, ["`failure_share` must be at most 0.004, but is 0.004975"]),
        ({"min_throughput": 30.0}, ["`throughput` must be at least 30, but is 19.8"]),
        (
            {"max_p95_ms": 90.0, "min_throughput": 30.0},
            [
                "`p95_ms_of_all` must be at most 90",
                "`throughput` must be at least 30",
            ],
        ),
    ],
)
def test_thresholds(thresholds: dict[str, float], misses: list[str]) -> None:
    record = recorded(*TEN_SECONDS, more=[not_answered(0.0)])
    found = result_of(record, seconds=10, thresholds=thresholds).figures["misses"]
    assert len(found) == len(misses)
    for miss, expected in zip(found, misses, strict=True):
        assert miss.startswith(expected)


@pytest.mark.parametrize("lost", [not_answered(0.0), unsent(0.0)])
def test_losing_the_slow_ones_does_not_help(lost: Exchange) -> None:
    wanted = {"max_p95_ms": 1e9}
    record = recorded(*TEN_SECONDS, more=[lost] * 12)
    (missed,) = result_of(record, seconds=10, thresholds=wanted).figures["misses"]
    assert missed == "`p95_ms_of_all` must be at most 1e+09, but was not seen"


def test_no_right_answer_passes_no_threshold() -> None:
    record = recorded(more=[not_answered(9.0)] * 10)
    wanted = {"max_p95_ms": 1e9, "min_throughput": 0.1}
    misses = result_of(record, seconds=10, thresholds=wanted).figures["misses"]
    assert misses[0] == "`p95_ms_of_all` must be at most 1e+09, but was not seen"
    assert misses[1] == "`throughput` must be at least 0.1, but is 0"


def test_the_knee_can_be_a_threshold() -> None:
    steps: dict[str, Any] = {"profile_name": "steps", "rate": 10, "growth": 2.0, "seconds": 1}
    record = recorded((10, 0.1), (20, 0.1), (40, 5.0), (80, 5.0))
    assert result_of(record, thresholds={"min_knee": 20}, **steps).figures["misses"] == []
    missed = result_of(record, thresholds={"min_knee": 21}, **steps).figures["misses"]
    assert missed == ["`knee.offered` must be at least 21, but is 20"]


def test_requests_under_way_at_the_end_are_no_failures() -> None:
    record = recorded(*TEN_SECONDS, more=[Exchange(kind=KIND, planned=9.0)] * 50)
    result = result_of(record, ending=Ending.INTERRUPTED, seconds=60)
    assert result.figures["failure_share"] == 0
    assert result.seconds == 10
    assert "it was interrupted after 10 of 60 s" in result.figures["notes"]
    assert "50 requests were under way when it ended" in result.figures["notes"]


def test_answers_that_come_after_the_load_are_no_throughput() -> None:
    result = result_of(recorded((20, 0.01), (20, 5.0)), seconds=2)
    assert result.figures["offered"] == 20
    assert result.figures["throughput"] == 10


def test_a_clean_run_needs_no_notes() -> None:
    assert result_of(recorded(*TEN_SECONDS), seconds=10).figures["notes"] == []


def test_what_must_be_known_is_said() -> None:
    record = recorded((10, 0.1), more=[unsent(0.0)] * 3 + [answered(0.0, delay=2.0)])
    result = result_of(record, profile_name="steps", seconds=1, url="http://127.0.0.1:1")
    for number, words in enumerate(
        (
            "3 requests were not sent: all 256 places",
            "1 % of the requests were sent 2",
            "the load generator shared the machine",
            "the limit of p95 rests on only 11 answers",
        )
    ):
        assert result.figures["notes"][number].startswith(words)
