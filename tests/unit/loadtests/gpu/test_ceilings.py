"""The least time of a decode step, against figures worked out by hand."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import loadtests.gpu
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


def test_the_expected_times_of_the_parts_add_up() -> None:
    """Parts of a step, by search, and with encoding of the tokens that a second should give."""
    text = (Path(loadtests.gpu.__file__).parent / "H200.md").read_text(encoding="utf-8")
    parts, *_ = text.partition("| **sum")
    sums, encoding, rates = (
        _numbers(next(line for line in text.splitlines() if line.startswith(f"| {begin}")))
        for begin in ("**sum", "encoding", "**tokens/s")
    )
    rows = [_numbers(line) for line in parts.splitlines() if line.startswith("| ")][1:]
    assert [sum(row[column] for row in rows) for column in (0, 2, 4)] == [sums[0], sums[2], sums[4]]
    for column, targets in ((0, 1024), (2, 256), (4, 256)):
        seconds = (sums[column] + encoding[column]) * 1e-6
        assert rates[column] * 1e6 == pytest.approx(targets / seconds, rel=0.02)


def _numbers(line: str) -> list[float]:
    """Those of the cells behind the first, 0 where there is none."""
    found = [re.search(r"[0-9.]+", cell) for cell in line.strip("|").split("|")[1:]]
    return [0.0 if each is None else float(each.group()) for each in found]
