"""As much as the time allows, and no less than something."""

from __future__ import annotations

import math
import time

import pytest

from loadtests.bench.budget import Budget, fitting


def test_time_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    budget = Budget(5)
    assert budget.left() == pytest.approx(270.0), "a tenth is for what is not planned"
    now = 300.0
    assert budget.left() == pytest.approx(70.0)
    now = 500.0
    assert budget.left() == 0.0


def test_no_bound() -> None:
    assert math.isinf(Budget(None).left())
    assert fitting(math.inf, {"ours": 0.1}, most=70) == 70


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [(10.0, 1000, 40), (10.0, 30, 30), (0.0, 30, 1), (-5.0, 0.2, 0.2)],
)
def test_everybody_gets_the_same(seconds: float, most: float, expected: float) -> None:
    assert fitting(seconds, {"ours": 0.05, "theirs": 0.2}, most=most) == pytest.approx(expected)


def test_what_costs_nothing_known_is_done_whole() -> None:
    assert fitting(1.0, {"ours": 0.0}, most=50) == 50
