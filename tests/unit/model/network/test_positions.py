"""Positional encodings."""

import math

import numpy as np
import pytest

from model.config import PositionKind
from model.network.positions import sinusoidal_positions


def test_positions_follow_the_papers_formula() -> None:
    table = sinusoidal_positions(50, 16)
    for position in (0, 1, 17, 49):
        for i in range(8):
            angle = position / 10_000 ** (2 * i / 16)
            assert table[position, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)
    halves = sinusoidal_positions(50, 16, PositionKind.SINUSOIDAL_HALVES)
    np.testing.assert_array_equal(halves[:, :8], table[:, 0::2])
    np.testing.assert_array_equal(halves[:, 8:], table[:, 1::2])


def test_those_of_fairseq_reach_the_slowest_wave() -> None:
    table = sinusoidal_positions(50, 16, PositionKind.SINUSOIDAL_FAIRSEQ)
    for position in (0, 1, 17, 49):
        for i in range(8):
            angle = position * 10_000 ** (-i / (16 / 2 - 1))
            assert table[position, i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 8 + i] == pytest.approx(math.cos(angle), abs=1e-6)
    assert table[49, 7] == pytest.approx(math.sin(49 / 10_000), abs=1e-6)
