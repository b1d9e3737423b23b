"""What a model asks of a processor, and that the loops which show what it can do run."""

from __future__ import annotations

import os

import pytest

from loadtests.bench import peaks
from loadtests.bench.peaks import measure_peaks, operations
from model.config import TransformerConfig
from model.engine.native.build import InstructionSet, usable_sets


def test_a_token_of_the_base_model() -> None:
    config = TransformerConfig.base(32_000)
    assert operations(config, source_tokens=1, rows=1) == pytest.approx(121e6, rel=0.005)
    assert operations(config, 2, 4) == operations(config, 2, 0) + 4 * operations(config, 0, 1)
    # 2 * (4 + 2) * 512 * 512, twice that for the feed-forward network, six times; the projection.
    square = 512 * 512
    assert operations(config, 0, 1) == 2 * (6 * (6 * square + 8 * square) + 512 * 32_000)


@pytest.mark.parametrize("instruction_set", usable_sets())
def test_peaks_of_every_instruction_set(
    instruction_set: InstructionSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, "_SECONDS", 0.001)
    monkeypatch.setattr(peaks, "_BUFFERS", 2**20)
    before = os.sched_getaffinity(0)
    found = measure_peaks(sorted(before), instruction_set)
    assert list(found) == ["one_thread", "all_threads"]
    for rates in found.values():
        assert {"float32", "read"} <= set(rates) <= {"float32", "bfloat16", "int8", "read"}
        assert min(rates.values()) > 0
    assert os.sched_getaffinity(0) == before
