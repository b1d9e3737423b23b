"""What is said about several numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.figures import Spread, percentile, ratio


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=60),
    share=st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentiles_are_of_the_nearest_rank(values: list[float], share: float) -> None:
    assert percentile(values, share) == np.percentile(values, 100 * share, method="inverted_cdf")


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_percentiles_that_do_not_exist(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="needs values and a share"):
        percentile(values, share)


def test_a_spread_keeps_its_rounds() -> None:
    spread = Spread.of([3.0, 1.0, 5.0, 2.0])
    assert spread == Spread(rounds=(3.0, 1.0, 5.0, 2.0), min=1.0, median=2.5, max=5.0)


def test_ratios_are_taken_round_by_round() -> None:
    # The machine was twice as fast in the second round, and everybody had of it.
    assert ratio([10.0, 20.0, 15.0], [5.0, 10.0, 10.0]) == Spread(
        rounds=(2.0, 2.0, 1.5), min=1.5, median=2.0, max=2.0
    )
