"""The estimate of how long a newcomer waits."""

import pytest

from model.engine.pace import Pace


def test_nothing_is_known_at_first() -> None:
    assert Pace().seconds_for(1000) == 0


def test_a_steady_pace_is_what_it_is() -> None:
    pace = Pace()
    for now in range(1, 50):
        pace.admitted(200, waiting_since=0.0, now=float(now))
    assert pace.seconds_for(1000) == pytest.approx(5.0)


def test_time_in_which_nobody_waited_is_left_out() -> None:
    pace = Pace()
    for start in range(0, 100_000, 1000):
        pace.admitted(100, waiting_since=float(start), now=start + 0.5)
    assert pace.seconds_for(1000) == pytest.approx(5.0)


def test_what_was_long_ago_counts_less() -> None:
    pace = Pace()
    for now in range(1, 50):
        pace.admitted(1000, waiting_since=0.0, now=float(now))
    for now in range(50, 54):
        pace.admitted(10, waiting_since=0.0, now=float(now))
    assert 2 < pace.seconds_for(1000) < 10
    for now in range(54, 100):
        pace.admitted(10, waiting_since=0.0, now=float(now))
    assert pace.seconds_for(1000) == pytest.approx(100, rel=0.01)


def test_admissions_at_the_same_time_add_up() -> None:
    pace = Pace()
    pace.admitted(60, waiting_since=0.0, now=1.0)
    pace.admitted(40, waiting_since=0.0, now=1.0)
    assert pace.seconds_for(100) == pytest.approx(1.0)


def test_who_is_let_in_should_be_done_well_before_its_deadline() -> None:
    pace = Pace()
    assert pace.allows(1_000_000, 0.0)  # nothing is known
    for now in range(1, 50):
        pace.admitted(100, waiting_since=0.0, now=float(now))
    assert pace.allows(200, 3.1)
    assert not pace.allows(200, 2.9)
    for _ in range(200):
        pace.finished(4.0)
    assert pace.allows(200, 7.1)
    assert not pace.allows(200, 6.9)


def test_without_a_queue_nobody_is_sent_away() -> None:
    pace = Pace()
    pace.admitted(100, waiting_since=0.0, now=1.0)
    pace.finished(4.0)
    assert pace.allows(0, 0.001)
