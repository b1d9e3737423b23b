"""Load as a function of time, and arrivals drawn from it."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from itertools import pairwise

import pytest

from loadtests.corpus import LoadTestError
from loadtests.open_loop.profiles import (
    PLANNED,
    Profile,
    Segment,
    constant,
    poisson_arrivals,
    profile_named,
)


def _rate(profile: Profile, elapsed: float) -> float:
    """Requests a second, `elapsed` seconds after the beginning of a profile."""
    for segment in profile.segments:
        if elapsed < segment.seconds:
            return segment.rate(elapsed)
        elapsed -= segment.seconds
    raise ValueError


@pytest.mark.parametrize("name", PLANNED)
def test_every_profile_begins_at_its_rate_and_ends(name: str) -> None:
    profile = profile_named(name, rate=10)
    assert _rate(profile, 0) == 10
    assert 0 < profile.seconds == sum(segment.seconds for segment in profile.segments)


def test_a_ramp_rises_evenly_to_its_peak() -> None:
    profile = profile_named("ramp", rate=10, peak=30, seconds=20)
    assert [_rate(profile, t) for t in (0, 5, 10, 15)] == [10, 15, 20, 25]
    assert _rate(profile, 19.999) == pytest.approx(30, abs=0.01)
    # Judged in stretches of whole seconds.
    assert profile.steps[:2] == ((0, 1), (1, 2))
    assert profile.steps[-1] == (19, 20)


def test_steps_grow_up_to_the_peak() -> None:
    profile = profile_named("steps", rate=10, peak=40, growth=2.0, seconds=5)
    assert profile.steps == ((0, 5), (5, 10), (10, 15))
    assert [_rate(profile, began) for began, _ in profile.steps] == [10, 20, 40]


def test_a_spike_is_over_long_before_the_end() -> None:
    profile = profile_named("spike", rate=10, peak=70, seconds=50)
    assert [_rate(profile, t) for t in (0, 19.9, 20.1, 29.9, 30.1, 49.9)] == [
        10,
        10,
        70,
        70,
        10,
        10,
    ]
    assert profile.steps == ()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("flat", {}, "must be one of constant, ramp, steps, spike, soak, overload, but is 'flat'"),
        ("overload", {}, "the rates of overload are not known beforehand"),
        ("constant", {"peak": 9.0}, "`peak` must not be given for constant"),
        ("ramp", {"peak": 4.0}, "`peak` must be at least `rate`, 5, but is 4"),
        ("steps", {"growth": 1.001}, "at most 100 steps, but needs"),
    ],
)
def test_what_cannot_be_is_refused(name: str, changes: dict[str, float], message: str) -> None:
    with pytest.raises(LoadTestError, match=message):
        profile_named(name, **{"rate": 5.0} | changes)


def test_pieces_are_the_same_load() -> None:
    profile = profile_named("ramp", rate=10, peak=30, seconds=5)
    pieces = list(profile.pieces(2.0))
    assert [piece.seconds for piece in pieces] == [2, 2, 1]
    assert [(piece.first, piece.last) for piece in pieces] == [(10, 18), (18, 26), (26, 30)]


def _arrivals(segment: Segment, seed: int) -> list[float]:
    return list(poisson_arrivals(segment, random.Random(seed)))


def test_arrivals_ascend_and_stay_within_the_segment() -> None:
    arrivals = _arrivals(Segment(seconds=10, first=20, last=200), 1)
    assert all(earlier < later for earlier, later in pairwise(arrivals))
    assert 0 < arrivals[0] < arrivals[-1] < 10


def test_the_same_seed_plans_the_same_arrivals() -> None:
    segment = constant(20, 60)
    assert _arrivals(segment, 1) == _arrivals(segment, 1)
    assert _arrivals(segment, 1) != _arrivals(segment, 2)


def test_arrivals_are_a_poisson_process() -> None:
    arrivals = _arrivals(constant(50, 400), 2)
    per_second = Counter(map(int, arrivals))
    counts = [per_second[second] for second in range(400)]
    # Their number in a second has the variance of its mean; gaps have the deviation of theirs.
    assert statistics.mean(counts) == pytest.approx(50, rel=0.03)
    assert statistics.variance(counts) == pytest.approx(50, rel=0.25)
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_arrivals_follow_the_rate() -> None:
    arrivals = _arrivals(Segment(seconds=100, first=10, last=110), 3)
    for began in range(0, 100, 20):
        found = sum(began <= arrival < began + 20 for arrival in arrivals)
        assert found == pytest.approx(20 * (10 + began + 10), rel=0.15)
