"""The least that a decode step must do, against figures worked out by hand."""

from __future__ import annotations

import pytest

from loadtests.gpu.step_times import Ceilings, StepWork
from model.config import TransformerConfig

BASE = TransformerConfig.base(32_000)


def work(groups: int, beams: int) -> StepWork:
    return StepWork.of(BASE, groups=groups, beams=beams, position=15, source_len=30, num_bytes=2)


def test_the_weights_of_the_base_model() -> None:
    # 6 layers of 6 * 512 * 512 + 2 * 512 * 2048 numbers, and 32,000 * 512.
    assert work(1, 1).weight_bytes == 2 * (22_020_096 + 16_384_000)


def test_beams_share_the_source() -> None:
    # Keys and values of 6 layers, 512 numbers of 2 bytes each: 12,288 bytes a position.
    assert work(1, 1).cache_bytes == 12_288 * (16 + 30)
    assert work(3, 4).cache_bytes == 12_288 * 3 * (4 * 16 + 30)


def test_a_step_takes_as_long_as_the_slower_of_reading_and_multiplying() -> None:
    ceilings = Ceilings(bytes_per_second=4.3e12, flops=790e12)
    # One row: its weights at 4.3 TB/s.
    assert work(1, 1).seconds(ceilings) == pytest.approx(18e-6, rel=0.01)
    # 1,024 rows: products at 790 TFLOP/s, then the caches.
    assert work(1024, 1).seconds(ceilings) == pytest.approx(236e-6, rel=0.02)


def test_a_device_is_measured() -> None:
    ceilings = Ceilings.measured(device="cpu", size=2**16, width=16)
    assert ceilings.bytes_per_second > 0
    assert ceilings.flops > 0
