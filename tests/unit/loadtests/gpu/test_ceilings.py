"""The least time of a decode step, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from loadtests.gpu.step_times import Ceilings
from model.config import TransformerConfig

BASE = TransformerConfig.base(32_000)
# 6 layers of 6 * 512 * 512 + 2 * 512 * 2048 numbers, and 32,000 * 512.
WEIGHT_BYTES = 2 * (22_020_096 + 16_384_000)


def bytes_read(groups: int, beams: int) -> float:
    ceilings = Ceilings(bytes_per_second=1.0, flops=math.inf)
    return ceilings.step_seconds(BASE, groups=groups, beams=beams)


def test_beams_share_the_source() -> None:
    # Keys and values of 6 layers, 512 numbers of 2 bytes each: 12,288 bytes a position.
    assert bytes_read(1, 1) == WEIGHT_BYTES + 12_288 * (16 + 30)
    assert bytes_read(3, 4) == WEIGHT_BYTES + 12_288 * 3 * (4 * 16 + 30)


def test_a_step_takes_as_long_as_the_slower_of_reading_and_multiplying() -> None:
    ceilings = Ceilings(bytes_per_second=4.3e12, flops=790e12)
    # One row: its weights at 4.3 TB/s.
    assert ceilings.step_seconds(BASE, groups=1, beams=1) == pytest.approx(18e-6, rel=0.01)
    # 1,024 rows: products at 790 TFLOP/s, then the caches.
    assert ceilings.step_seconds(BASE, groups=1024, beams=1) == pytest.approx(236e-6, rel=0.02)


def test_a_device_is_measured() -> None:
    ceilings = Ceilings.measured(device="cpu", size=2**16, width=16)
    assert ceilings.bytes_per_second > 0
    assert ceilings.flops > 0
