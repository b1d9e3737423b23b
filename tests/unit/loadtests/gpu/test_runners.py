"""A runner is driven without an engine; the engine is driven in this process."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.contender import Regime, Search, Task
from loadtests.bench.models import BenchModel
from loadtests.bench.polyhead_contender import generation
from loadtests.bench.workload import TextFile, draw_workload
from loadtests.gpu import peers
from loadtests.gpu.peers import offer_cublas_12
from loadtests.gpu.rates import DeviceWorker
from loadtests.gpu.runners import drive, sequences
from model.errors import PolyheadError
from tests.tiny_model import build_tiny_model
from tests.unit.model.engine.fake_runner import FakeRunner, make


def test_more_than_fits_is_translated_in_the_order_that_was_asked_for() -> None:
    runner: Any = FakeRunner(max_slots=4)
    wanted = [make(3, limit=1 + index % 5) for index in range(20)]
    found = drive(runner, wanted)
    lengths = [len(hypotheses[0].token_ids) for hypotheses in found]
    assert lengths == [1 + index % 5 for index in range(20)]
    newcomers = [len(plan.newcomers) for plan in runner.plans]
    assert sum(newcomers) == 20
    assert max(newcomers) <= 4


def test_beams_take_as_many_slots() -> None:
    runner: Any = FakeRunner(max_slots=8)
    assert len(drive(runner, [make(beam_size=4, limit=3) for _ in range(5)])) == 5
    assert max(len(plan.newcomers) for plan in runner.plans) == 2


def test_sequences_have_the_limits_of_the_engine() -> None:
    config = generation(Search.BEAM4)
    [short, long] = sequences([(5, 2), (*range(5, 64), 2)], config, 64)
    assert short.max_new_tokens == config.target_limit(2, 64)
    assert long.max_new_tokens == config.target_limit(60, 64)
    assert (short.beam_size, short.source_ids) == (4, (5, 2))


@pytest.fixture
def worker(tmp_path: Path) -> DeviceWorker:
    model = BenchModel.named(str(build_tiny_model(tmp_path / "tiny")), seed=0)
    workload = draw_workload(model, TextFile(), count=4, seed=0)
    runner: Any = FakeRunner(max_slots=4)
    return DeviceWorker(runner, model, workload)


def test_an_engine_of_this_process_answers_as_a_process_would(worker: DeviceWorker) -> None:
    task = Task(Regime.THROUGHPUT, Search.GREEDY)
    try:
        assert worker.spec.label == "polyhead-bfloat16"
        assert len(worker.wait_until_ready() or "") == 64
        assert worker.prepare(task, [(5, 2)])["max_slots"] == 4
        turn = worker.translate(task, [(5, 2), (6, 7, 2)])
        assert (len(turn.targets), len(turn.seconds)) == (2, 1)
        first = worker.drain_steps()
        worker.translate(task, [(5, 2)])
        assert sum(step.steps for step in worker.drain_steps()) <= sum(s.steps for s in first)
        assert worker.cpu_seconds() > 0
        assert gc.isenabled()
    finally:
        worker.close()


def test_garbage_is_collected_again_after_an_error(worker: DeviceWorker) -> None:
    worker.close()
    with pytest.raises(PolyheadError):
        worker.translate(Task(Regime.THROUGHPUT, Search.GREEDY), [(5, 2)])
    assert gc.isenabled()


def _libraries(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(peers.glob, "glob", lambda pattern, recursive: [str(p) for p in paths])


def test_a_later_cublas_is_offered_as_the_one_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    library = tmp_path / "nvidia" / "libcublas.so.13"
    _libraries(monkeypatch, library)
    links = tmp_path / "links"
    links.mkdir()
    assert offer_cublas_12(links)
    assert (links / "libcublas.so.12").resolve() == library
    assert peers.os.environ["LD_LIBRARY_PATH"] == f"{links}:{library.parent}:/before"


def test_the_right_cublas_needs_no_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    _libraries(monkeypatch, tmp_path / "a/libcublas.so.13", tmp_path / "b/libcublas.so.12")
    assert offer_cublas_12(tmp_path)
    assert not (tmp_path / "libcublas.so.12").exists()
    assert peers.os.environ["LD_LIBRARY_PATH"] == f"{tmp_path}:{tmp_path / 'b'}"


def test_without_a_cublas_nothing_is_offered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    _libraries(monkeypatch)
    assert not offer_cublas_12(tmp_path)
    assert peers.os.environ["LD_LIBRARY_PATH"] == "/before"
