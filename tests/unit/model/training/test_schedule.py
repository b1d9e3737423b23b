"""The learning rates, by the paper's equation 3."""

import pytest

from model.training.recipe import OptimizerRecipe
from model.training.schedule import learning_rate, linear_schedule, paper_schedule


def test_the_papers_schedule() -> None:
    assert paper_schedule(1, 512, 4000) == pytest.approx(512**-0.5 * 4000**-1.5)
    assert paper_schedule(4000, 512, 4000) == pytest.approx((512 * 4000) ** -0.5)
    assert paper_schedule(16_000, 512, 4000) == pytest.approx(paper_schedule(4000, 512, 4000) / 2)


def test_the_linear_schedule_rises_and_falls_to_zero() -> None:
    rates = [linear_schedule(step, 1.0, 10, 110) for step in range(1, 112)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] == 1.0
    assert rates[59] == pytest.approx(0.51)
    assert rates[109] == pytest.approx(0.01)
    assert rates[110] == 0.0


def test_the_linear_schedule_can_stay_at_its_peak_before_it_falls() -> None:
    rates = [linear_schedule(step, 1.0, 10, 110, 20) for step in range(1, 112)]
    assert rates[:10] == [linear_schedule(step, 1.0, 10, 110) for step in range(1, 11)]
    assert set(rates[9:91]) == {1.0}
    assert rates[100] == pytest.approx(0.5)
    assert rates[109] == pytest.approx(0.05)
    assert rates[110] == 0.0
    all_of_it = [linear_schedule(step, 1.0, 10, 110, 500) for step in range(1, 112)]
    assert all_of_it == [linear_schedule(step, 1.0, 10, 110) for step in range(1, 112)]


def test_the_recipe_chooses() -> None:
    paper = OptimizerRecipe(schedule="paper", scale=2.0, warmup_steps=100)
    assert learning_rate(50, paper, d_model=64, max_steps=9) == 2 * paper_schedule(50, 64, 100)
    linear = OptimizerRecipe(schedule="linear", peak_lr=0.5, warmup_steps=100)
    assert learning_rate(50, linear, d_model=64, max_steps=900) == 0.25
    late = OptimizerRecipe(schedule="linear", peak_lr=0.5, warmup_steps=100, decay_steps=100)
    assert learning_rate(700, late, d_model=64, max_steps=900) == 0.5
    assert learning_rate(851, late, d_model=64, max_steps=900) == 0.25
