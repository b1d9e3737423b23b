"""The estimate of how long a newcomer waits."""

import pytest

from model.engine.queue_wait import QueueWaitEstimator


def test_nothing_is_known_at_first() -> None:
    assert QueueWaitEstimator().seconds_for(1000) == 0


def test_a_steady_pace_is_what_it_is() -> None:
    estimator = QueueWaitEstimator()
    for now in range(1, 50):
        estimator.admitted(200, waiting_since=0.0, now=float(now))
    assert estimator.seconds_for(1000) == pytest.approx(5.0)


def test_time_in_which_nobody_waited_is_left_out() -> None:
    estimator = QueueWaitEstimator()
    for start in range(0, 100_000, 1000):
        estimator.admitted(100, waiting_since=float(start), now=start + 0.5)
    assert estimator.seconds_for(1000) == pytest.approx(5.0)


def test_what_was_long_ago_counts_less() -> None:
    estimator = QueueWaitEstimator()
    for now in range(1, 50):
        estimator.admitted(1000, waiting_since=0.0, now=float(now))
    for now in range(50, 54):
        estimator.admitted(10, waiting_since=0.0, now=float(now))
    assert 2 < estimator.seconds_for(1000) < 10
    for now in range(54, 100):
        estimator.admitted(10, waiting_since=0.0, now=float(now))
    assert estimator.seconds_for(1000) == pytest.approx(100, rel=0.01)


def test_admissions_at_the_same_time_add_up() -> None:
    estimator = QueueWaitEstimator()
    estimator.admitted(60, waiting_since=0.0, now=1.0)
    estimator.admitted(40, waiting_since=0.0, now=1.0)
    assert estimator.seconds_for(100) == pytest.approx(1.0)


def test_who_is_let_in_should_be_done_well_before_its_deadline() -> None:
    estimator = QueueWaitEstimator()
    assert estimator.meets_deadline(1_000_000, 0.0)  # nothing is known
    for now in range(1, 50):
        estimator.admitted(100, waiting_since=0.0, now=float(now))
    assert estimator.meets_deadline(200, 3.1)
    assert not estimator.meets_deadline(200, 2.9)
    for _ in range(200):
        estimator.finished([4.0])
    assert estimator.meets_deadline(200, 7.1)
    assert not estimator.meets_deadline(200, 6.9)


def test_without_a_queue_nobody_is_sent_away() -> None:
    estimator = QueueWaitEstimator()
    estimator.admitted(100, waiting_since=0.0, now=1.0)
    estimator.finished([4.0])
    assert estimator.meets_deadline(0, 0.001)
