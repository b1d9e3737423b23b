"""Our engine behind the interface of all contenders, on a tiny model in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from loadtests.bench.contender import Contender, ContenderSpec, Regime, Search, Task
from loadtests.bench.models import BenchModel
from loadtests.bench.polyhead_contender import PolyheadContender, generation
from model.decoding.reference import generate
from tests.tiny_model import build_tiny_model

_SOURCES = [[5, 6, 2], [9, 2], [7, 8, 9, 10, 11, 2], [12, 2]]
_LIMIT = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BenchModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return BenchModel.named(str(directory), seed=0)


@pytest.fixture(scope="module")
def contender(model: BenchModel) -> Iterator[Contender]:
    spec = ContenderSpec(
        name="one of them",
        dtype="float32",
        device="cpu",
        cores=tuple(sorted(os.sched_getaffinity(0))),
        model=model,
        max_new_tokens=_LIMIT,
    )
    made = PolyheadContender(spec, model.load())
    yield made
    made.close()


def _expected(model: BenchModel, search: Search) -> list[list[int]]:
    found = generate(model.load(), _SOURCES, generation(search, _LIMIT))
    return [list(best.token_ids) for best, *_ in found]


def test_greedy_targets_are_those_of_the_plain_loop(
    contender: Contender, model: BenchModel
) -> None:
    task = Task(Regime.THROUGHPUT, Search.GREEDY)
    assert contender.translate(task, _SOURCES) == _expected(model, Search.GREEDY)


def test_targets_come_in_the_order_of_their_sources(contender: Contender) -> None:
    task = Task(Regime.THROUGHPUT, Search.BEAM4)
    together = contender.translate(task, _SOURCES)
    assert contender.translate(task, _SOURCES[::-1]) == together[::-1]
    assert all(len(target) <= _LIMIT and 2 not in target for target in together)


def test_a_set_up_is_told(contender: Contender) -> None:
    setup = contender.prepare(Task(Regime.LATENCY, Search.GREEDY), _SOURCES)
    assert setup["num_threads"] == len(os.sched_getaffinity(0))
    assert {"max_slots", "batch_size"} & set(setup)


def test_everybody_is_served_from_their_arrival_on(contender: Contender) -> None:
    task = Task(Regime.ONLINE, Search.GREEDY, "80% of all")
    arrivals = [0.0, 0.001, 0.002, 0.003]
    contender.prepare(task, _SOURCES, arrivals)
    latencies = contender.serve(task, _SOURCES, arrivals)
    assert len(latencies) == len(_SOURCES)
    assert min(latencies) > 0


@pytest.mark.parametrize(("regime", "calls"), [(Regime.LATENCY, 4), (Regime.THROUGHPUT, 1)])
def test_a_clock_runs_beside_each_call(contender: Contender, regime: Regime, calls: int) -> None:
    turn = contender.timed(Task(regime, Search.GREEDY), _SOURCES)
    assert len(turn.seconds) == calls
    assert len(turn.targets) == len(_SOURCES)
    assert turn.num_tokens == sum(len(target) + 1 for target in turn.targets)


def test_memory_is_that_of_the_process(contender: Contender) -> None:
    assert contender.memory()["rss"] > 2**20


def test_searches_are_told_apart() -> None:
    greedy, beam = generation(Search.GREEDY), generation(Search.BEAM4, 5)
    assert (greedy.beam_size, beam.beam_size, beam.max_new_tokens) == (1, 4, 5)
    assert not beam.constrained
    assert generation(Search.BEAM4, limit_repeats=True).constrained
