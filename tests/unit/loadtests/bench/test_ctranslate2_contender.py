"""The set-ups that are tried, and that the fastest one is kept."""

from __future__ import annotations

import time

import pytest

from loadtests.bench import ctranslate2_contender
from loadtests.bench.contender import ContenderSpec, Regime, Search, Task
from loadtests.bench.ctranslate2_contender import CTranslate2Contender, Threads, candidates
from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from loadtests.bench.models import BenchModel
from tests.tiny_model import build_tiny_model

_SOURCES = [[5, 6, 2], [9, 2], [7, 8, 9, 2]]


@pytest.fixture(scope="module")
def contender(tmp_path_factory: pytest.TempPathFactory) -> CTranslate2Contender:
    folder = tmp_path_factory.mktemp("models")
    model = BenchModel.named(str(build_tiny_model(folder / "tiny")), seed=0)
    converted = folder / "converted"
    converted.mkdir()
    write_ctranslate2_model(model.load(), converted, "float32")
    spec = ContenderSpec(
        name="ctranslate2",
        dtype="float32",
        device="cpu",
        cores=(0, 1),  # never pinned here: it may be one core for real
        model=model,
        max_new_tokens=8,
        converted=converted,
    )
    return CTranslate2Contender(spec)


@pytest.mark.parametrize("regime", list(Regime))
@pytest.mark.parametrize("num_cores", [1, 2, 8])
def test_candidates_use_all_cores_and_no_more(regime: Regime, num_cores: int) -> None:
    ways = candidates(regime, num_cores, "cpu")
    assert len(set(ways)) == len(ways)
    used = {way.inter_threads * way.intra_threads for way in ways}
    # One thread can be the fastest way to translate one sentence.
    assert used <= ({1, num_cores} if regime is Regime.LATENCY else {num_cores})
    assert num_cores in used


def test_candidates_on_a_graphics_card_share_one_worker() -> None:
    assert {way.inter_threads for way in candidates(Regime.THROUGHPUT, 16, "cuda")} == {1}


def test_the_fastest_way_is_kept(
    contender: CTranslate2Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Threads(inter_threads=1, intra_threads=1, max_batch_size=1)
    fast = Threads(inter_threads=2, intra_threads=1, max_batch_size=2)
    monkeypatch.setattr(ctranslate2_contender, "candidates", lambda *_: [slow, fast])
    # By this clock the first way takes five seconds, the second one.
    times = iter([0.0, 5.0, 10.0, 11.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    setup = contender.prepare(Task(Regime.THROUGHPUT, Search.GREEDY), _SOURCES)
    assert setup["inter_threads"] == 2


def test_every_way_translates_the_same(contender: CTranslate2Contender) -> None:
    targets = []
    for regime in (Regime.LATENCY, Regime.THROUGHPUT):
        task = Task(regime, Search.BEAM4)
        contender.prepare(task, _SOURCES)
        targets.append(contender.translate(task, _SOURCES))
    assert targets[0] == targets[1]
    assert len(targets[0]) == len(_SOURCES)


def test_it_serves_everybody(contender: CTranslate2Contender) -> None:
    arrivals = [0.0] * 30
    sources = [_SOURCES[index % 3] for index in range(30)]
    task = Task(Regime.ONLINE, Search.GREEDY, "80% of all")
    setup = contender.prepare(task, sources, arrivals)
    assert setup["max_batch_size"] in (16, 64)
    latencies = contender.serve(task, sources, arrivals)
    assert len(latencies) == 30
    assert min(latencies) > 0
