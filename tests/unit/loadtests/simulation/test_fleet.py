"""Replicas: how work is divided among them, done, lost and reported."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.simulation.fleet import Fleet
from loadtests.simulation.profiles import ReplicaProfile

_PROFILE = ReplicaProfile(
    name="a round one",
    capacity=100.0,
    slots=2,
    mean_sentence_tokens=10.0,
    variation=0.0,
    start_seconds=1.0,
    source="made up",
)


def _fleet(replicas: int, *, most: int = 10) -> Fleet:
    fleet = Fleet(_PROFILE, most=most)
    for _ in range(replicas):
        fleet.add()
    return fleet


def _loaded(*work: float) -> Fleet:
    """Replicas with so many tokens each, put there in no time."""
    fleet = _fleet(len(work))
    fleet.tick(0.0, 1e-12, np.array(work))
    return fleet


def test_equal_replicas_get_equal_shares() -> None:
    np.testing.assert_allclose(_fleet(4).shares(100.0), [25.0] * 4)


def test_who_has_less_gets_more_but_no_more_than_twice_the_average() -> None:
    shares = _loaded(0.0, 30.0, 1000.0).shares(60.0)
    assert shares.sum() == pytest.approx(60.0)
    assert shares.max() <= 40.0 + 1e-9
    assert shares[0] > shares[1] > shares[2] == 0.0


def test_work_is_filled_up_to_one_level() -> None:
    shares = _loaded(0.0, 10.0, 20.0).shares(60.0)
    np.testing.assert_allclose(shares + np.array([0.0, 10.0, 20.0]), [30.0] * 3, atol=0.01)


def test_a_single_replica_gets_everything() -> None:
    np.testing.assert_allclose(_fleet(1).shares(7.0), [7.0])
    np.testing.assert_allclose(_fleet(2).shares(0.0), [0.0, 0.0])


def test_work_is_done_at_the_capacity_and_no_faster() -> None:
    fleet = _fleet(2)
    fleet.tick(0.0, 0.5, np.array([30.0, 80.0]))
    assert (fleet.done, fleet.work) == (80.0, 30.0)  # 50 tokens in half a second, at most
    fleet.tick(0.5, 0.5, np.array([0.0, 0.0]))
    assert (fleet.done, fleet.work) == (110.0, 0.0)


def test_what_is_in_slots_does_not_wait() -> None:
    fleet = _fleet(1)
    # Two slots of 10 tokens; a sentence of 10 is one's own. (60 + 10 - 10) / 2 - 20 tokens ahead.
    [wait] = fleet.tick(0.0, 1e-12, np.array([70.0]))
    assert wait == pytest.approx((0 + 60) / 2 / 100 - 20 / 100, abs=1e-6)
    [later] = fleet.tick(0.0, 1e-12, np.array([10.0]))
    assert later == pytest.approx((70 + 70) / 2 / 100 - 20 / 100, abs=1e-6)


def test_lost_replicas_leave_their_work_and_their_numbers_are_used_again() -> None:
    fleet = _loaded(10.0, 20.0, 30.0)
    assert fleet.lose(2) == pytest.approx(30.0)
    assert fleet.work == pytest.approx(30.0)
    assert len(fleet.serving) == 1
    for _ in range(9):
        fleet.add()
    assert len(set(fleet.serving)) == 10
    np.testing.assert_allclose(fleet.shares(70.0).sum(), 70.0)


def test_a_draining_replica_finishes_before_it_goes() -> None:
    fleet = _loaded(0.0, 150.0)
    fleet.drain()
    assert (len(fleet.serving), len(fleet.draining)) == (1, 1)
    fleet.tick(0.0, 1.0, np.array([0.0]))
    assert len(fleet.draining) == 1
    fleet.tick(1.0, 1.0, np.array([0.0]))
    assert (fleet.draining, fleet.work) == ([], 0.0)
    assert fleet.done == pytest.approx(150.0)


def test_a_report_says_what_waits_runs_and_since_when() -> None:
    fleet = _fleet(1)
    fleet.tick(0.0, 0.5, np.array([200.0]))
    [first] = fleet.reports(0.5)
    assert first.waiting_tokens == 130  # 150 are left, 20 of them in the slots
    fleet.tick(0.5, 5.0, np.array([0.0]))
    [second] = fleet.reports(5.5)
    assert second.waiting_tokens == 0
