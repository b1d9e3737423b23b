"""A contender's process: what goes wrong in it comes out as one line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench.contender import BenchError, ContenderSpec, Regime, Search, Task
from loadtests.bench.models import BenchModel
from loadtests.bench.worker import Field, Worker, convert_for_ctranslate2
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BenchModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return BenchModel.named(str(directory), seed=0)


def _spec(model: BenchModel, converted: Path) -> ContenderSpec:
    return ContenderSpec(
        name="ctranslate2",
        dtype="float32",
        device="cpu",
        cores=tuple(sorted(os.sched_getaffinity(0)))[:1],
        model=model,
        max_new_tokens=8,
        converted=converted,
        weights_digest="0" * 64,
    )


@pytest.fixture
def worker(tiny: BenchModel, tmp_path: Path) -> Iterator[Worker]:
    started = Worker(_spec(tiny, tmp_path))
    try:
        assert started.wait_until_ready() == "0" * 64
        yield started
    finally:
        started.close()


def test_a_contender_that_fails(worker: Worker) -> None:
    # There are no weights in its folder.
    with pytest.raises(BenchError, match=r"ctranslate2-float32: RuntimeError: .*model\.bin"):
        worker.prepare(Task(Regime.LATENCY, Search.GREEDY), [[5, 2]])
    with pytest.raises(BenchError, match="ctranslate2-float32 has ended before its time"):
        worker.memory()


def test_a_contender_that_dies(worker: Worker) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(BenchError, match="ctranslate2-float32 has ended before its time"):
        worker.memory()


def test_a_contender_uses_its_cores_and_no_torch(worker: Worker) -> None:
    assert os.sched_getaffinity(worker.pid) == set(worker.spec.cores)
    assert worker.memory()["rss"] > 2**20
    assert worker.cpu_seconds() > 0
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    assert "ctranslate2" in maps
    assert "libtorch" not in maps


def test_all_must_have_the_same_weights(tiny: BenchModel, tmp_path: Path) -> None:
    others = _spec(tiny, tmp_path)
    theirs = convert_for_ctranslate2(others, tmp_path / "converted")
    ours = replace(others, name="polyhead", converted=None)
    with Field(map(Worker, [ours, theirs])) as field:
        assert field.weights_digest == theirs.weights_digest
        first = field.workers[0]
        with field.turn(first):
            first.prepare(Task(Regime.LATENCY, Search.GREEDY), [[5, 2]])
        assert set(field.idle_cpu()) == {"ctranslate2-float32"}
    with pytest.raises(BenchError, match="must have the same weights"):
        Field(map(Worker, [ours, others]))
