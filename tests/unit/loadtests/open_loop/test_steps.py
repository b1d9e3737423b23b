"""Which steps hold, and where the knee is."""

from __future__ import annotations

import pytest

from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.figures import find_knee, is_saturated, latency_limit, steps_of
from loadtests.open_loop.profiles import profile_named
from tests.unit.loadtests.open_loop.results import answered, not_answered, recorded, unsent

PROFILE = profile_named("steps", rate=10, peak=160, growth=2.0, seconds=1)


def _knee(
    record: Exchanges, *, wanted: float | None = None, seconds: int = 5
) -> tuple[float, bool] | None:
    steps = steps_of(record, PROFILE, until=seconds)
    knee = find_knee(steps, latency_limit(steps, wanted))
    return None if knee is None else (knee["offered"], knee["saturated"])


def test_the_knee_is_the_last_step_before_latency_explodes() -> None:
    record = recorded((10, 0.1), (20, 0.1), (40, 0.4), (80, 0.6), (160, 2.0))
    assert _knee(record) == (40, True)


def test_the_user_may_set_the_limit() -> None:
    record = recorded((10, 0.1), (20, 0.1), (40, 0.4), (80, 0.6), (160, 2.0))
    assert _knee(record, wanted=200.0) == (20, True)


def test_one_unlucky_step_is_not_the_end() -> None:
    record = recorded((10, 0.1), (20, 0.9), (40, 0.2), (80, 0.6), (160, 2.0))
    assert _knee(record) == (40, True)


def test_a_service_that_bears_it_all_has_its_knee_beyond() -> None:
    record = recorded((10, 0.1), (20, 0.1), (40, 0.1))
    assert _knee(record, seconds=3) == (40, False)


def test_failures_end_it_however_quick_the_rest_is() -> None:
    more = [
        not_answered(second, 503) if number >= 4 else answered(second, 0.05)
        for second in (2, 3)
        for number in range(40)
    ]
    assert _knee(recorded((10, 0.1), (20, 0.1), more=more), seconds=4) == (20, True)


def test_what_could_not_be_sent_is_not_goodput() -> None:
    assert _knee(recorded((100, 0.1), more=[unsent(0.5)] * 4), seconds=1) == (104, False)
    assert _knee(recorded((100, 0.1), more=[unsent(0.5)] * 6), seconds=1) is None


def test_without_an_answer_there_is_no_knee() -> None:
    assert _knee(Exchanges([unsent(0.5), unsent(1.5)]), seconds=2) is None


def test_a_step_that_was_cut_short_is_left_out() -> None:
    record = recorded((10, 0.1), (20, 0.1))
    assert [step["offered"] for step in steps_of(record, PROFILE, until=1.9)] == [10]


def test_throughput_counts_answers_when_they_come() -> None:
    first, second = steps_of(recorded((10, 1.0), (20, 1.0)), PROFILE, until=2)
    assert (first["throughput"], second["throughput"]) == (0, 10)
    assert (first["goodput"], second["goodput"]) == (1, 1)


@pytest.mark.parametrize(
    ("latencies", "elapsed", "saturated"),
    [
        ((0.1, 0.1, 0.1, 0.1), 9.0, False),
        ((0.1, 0.1, 0.1, 0.9), 9.0, False),
        ((0.1, 0.1, 0.9, 0.9), 9.0, True),
        # The last step is not judged before its answers can have come.
        ((0.1, 0.1, 0.9, 0.9), 4.5, False),
    ],
)
def test_two_steps_in_a_row_end_the_search(
    latencies: tuple[float, ...], elapsed: float, saturated: bool
) -> None:
    record = recorded(*((10, latency) for latency in latencies))
    profile = profile_named("steps", rate=10, peak=80, growth=2.0, seconds=1)
    assert is_saturated(record, profile, None, elapsed=elapsed) is saturated


def test_a_test_that_has_just_begun_is_not_saturated() -> None:
    assert not is_saturated(Exchanges(), PROFILE, None, elapsed=0.0)
    soak = profile_named("soak", rate=1)
    assert not is_saturated(recorded((1, 9.0)), soak, None, elapsed=100.0)
