"""What is said about several numbers."""

from __future__ import annotations

from loadtests.report import ratio, spread


def test_a_spread_keeps_its_rounds() -> None:
    assert spread([3.0, 1.0, 5.0, 2.0]) == {
        "rounds": (3.0, 1.0, 5.0, 2.0),
        "min": 1.0,
        "median": 2.5,
        "max": 5.0,
    }


def test_ratios_are_taken_round_by_round() -> None:
    # The machine was twice as fast in the second round, and everybody had of it.
    assert ratio([10.0, 20.0, 15.0], [5.0, 10.0, 10.0]) == {
        "rounds": (2.0, 2.0, 1.5),
        "min": 1.5,
        "median": 2.0,
        "max": 2.0,
    }
