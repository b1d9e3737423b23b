"""Numbers of tokens are drawn as they are distributed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtests.simulation.cluster import draw_tokens
from loadtests.simulation.profiles import CPU_PAPER_BASE
from loadtests.simulation.scenarios import constant, daily


def _drawn(variation: float, sentences: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(1))
    profile = replace(CPU_PAPER_BASE, mean_sentence_tokens=20.0, variation=variation)
    return draw_tokens(generator, np.full(20_000, sentences), profile)


def test_sentences_that_are_alike_are_not_drawn() -> None:
    assert set(_drawn(0.0, 3)) == {60.0}


@pytest.mark.parametrize("variation", [0.5, 1.0])
@pytest.mark.parametrize("sentences", [1, 16])
def test_the_sum_of_n_sentences_has_their_mean_and_their_spread(
    variation: float, sentences: int
) -> None:
    drawn = _drawn(variation, sentences)
    assert drawn.mean() == pytest.approx(20.0 * sentences, rel=0.03)
    # The variances of independent sentences add up.
    assert drawn.std() == pytest.approx(20.0 * variation * sentences**0.5, rel=0.05)


def test_no_sentence_has_no_tokens() -> None:
    assert set(_drawn(0.5, 0)) == {0.0}


def test_a_day_comes_again_and_a_constant_stays() -> None:
    day = daily(10.0, 1000.0)
    assert day(3600.0) == pytest.approx(day(3600.0 + 86_400.0))
    assert max(day(3600.0 * hour) for hour in range(24)) == pytest.approx(1000.0)
    assert constant(3.0)(1e6) == 3.0
