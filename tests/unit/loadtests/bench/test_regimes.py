"""Who has their turn when, with what work, and what is made of the times."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.bench.closed_loop import measure_closed_loop, num_closed_turns
from loadtests.bench.contender import Regime, Search
from loadtests.bench.field import Measurement
from loadtests.bench.online import loads_of, measure_online, num_online_turns
from loadtests.bench.options import BenchOptions
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
        FakeWorker("transformers-bfloat16", 0.01),
    )


def _closed(regime: Regime, field: Any, **options: Any) -> tuple[list[Measurement], list[str]]:
    told: list[str] = []
    settings = BenchOptions(**options)
    found = measure_closed_loop(regime, field, _WORKLOAD, settings, told.append, score=len)
    assert len(told) == num_closed_turns(field, settings)
    return found, told


def test_contenders_take_turns_round_by_round() -> None:
    field = _field()
    _closed(Regime.THROUGHPUT, field, rounds=2)
    turns = [(entry[0], entry[3]) for entry in field.log if entry[1] == "translate"]
    labels = [worker.label for worker in field.workers]
    one_round = [(label, search) for search in Search for label in labels]
    assert turns == one_round * 2
    prepared = [entry[:4] for entry in field.log[: len(one_round)]]
    assert prepared == [(label, "prepare", Regime.THROUGHPUT, s) for label, s in one_round]


def test_rates_of_throughput() -> None:
    found, _ = _closed(Regime.THROUGHPUT, _field(), searches=(Search.GREEDY,))
    ours, theirs, slow = found
    assert ours.figures["sentences_per_second"].rounds == pytest.approx([1000.0] * 3)
    assert theirs.figures["sentences_per_second"].median == pytest.approx(500.0)
    assert ours.sentences == theirs.sentences == 300
    assert ours.output_tokens == sum(range(2, 302))
    assert ours.figures["tokens_per_second"].median == pytest.approx(ours.output_tokens / 0.3)
    # The slow one has a quarter of the work, and rates make up for it.
    assert slow.sentences == 75
    assert slow.figures["sentences_per_second"].median == pytest.approx(100.0)
    assert [m.planned_lengths for m in found] == [1.0] * 3
    assert [m.bleu for m in found] == [300, 300, 75]


def test_latency_is_of_the_first_sentences() -> None:
    field = _field()
    found, _ = _closed(Regime.LATENCY, field, searches=(Search.GREEDY,), latency_sentences=4)
    assert {entry[4] for entry in field.log if entry[1] == "translate"} == {4}
    ours = found[0].figures
    assert ours["mean_ms"].median == pytest.approx(1.0)
    assert ours["p95_ms"].max == pytest.approx(1.0)
    assert ours["per_token_ms"].median == pytest.approx(4.0 / (2 + 3 + 4 + 5))


def test_lengths_that_were_not_planned_are_counted() -> None:
    workload = Workload(
        sources=((9, 2), (9, 2)), references=None, planned=(2, 5), max_new_tokens=9, left_out=0
    )
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1)
    [found] = measure_closed_loop(
        Regime.THROUGHPUT,
        FakeField(FakeWorker("polyhead-int8", 1.0)),  # type: ignore[arg-type]
        workload,
        options,
        lambda what: None,
    )
    assert found.planned_lengths == 0.5
    assert found.bleu is None


def test_loads_are_shares_of_a_capacity() -> None:
    loads = loads_of(
        {"a": 200.0, "b": 100.0, "ours": 400.0}, {"a": ["ours"], "b": ["ours"], "ours": []}
    )
    assert [(load.name, load.rate, load.contenders) for load in loads[:3]] == [
        ("25% of a", 50.0, ("ours", "a")),
        ("50% of a", 100.0, ("ours", "a")),
        ("80% of a", 160.0, ("ours", "a")),
    ]
    assert (loads[-1].name, loads[-1].rate) == ("80% of ours", 320.0)
    assert loads[-1].contenders == ("ours",)


def test_everybody_gets_the_same_arrivals() -> None:
    field = _field()
    opponents = {
        "ctranslate2-int8": ["polyhead-int8"],
        "transformers-bfloat16": ["polyhead-int8"],
        "polyhead-int8": [],
    }
    capacity = {Search.GREEDY: {worker.label: 30.0 for worker in field.workers}}
    options = BenchOptions(searches=(Search.GREEDY,), rounds=3, seconds=2.0)
    told: list[str] = []
    found = measure_online(
        field, _WORKLOAD, options, told.append, capacity=capacity, opponents=opponents
    )
    assert len(told) == num_online_turns(options, opponents)
    served = [(entry[3], entry[0], entry[4]) for entry in field.log if entry[1] == "serve"]
    for load in ("25% of ctranslate2-int8", "80% of ctranslate2-int8"):
        turns = [(label, arrivals) for name, label, arrivals in served if name == load]
        assert [label for label, _ in turns] == ["polyhead-int8", "ctranslate2-int8"] * 3
        for ours, theirs in zip(turns[::2], turns[1::2], strict=True):
            assert ours[1] == theirs[1]
        assert len({arrivals for _, arrivals in turns}) == 3  # each round has its own
    assert {m.load for m in found if m.contender == "polyhead-int8"} == {m.load for m in found}
    first = found[0]
    assert first.setup == {"requests_per_second": 7.5, "way": "online"}
    assert set(first.figures) == {"p50_ms", "p95_ms", "p99_ms"}
    assert first.figures["p50_ms"].median <= first.figures["p95_ms"].median


def test_the_beginning_of_a_round_does_not_count() -> None:
    field = FakeField(FakeWorker("polyhead-int8", 0.001))
    options = BenchOptions(searches=(Search.GREEDY,), rounds=1, seconds=10.0)
    [quarter, *_] = measure_online(
        field,  # type: ignore[arg-type]
        _WORKLOAD,
        options,
        lambda what: None,
        capacity={Search.GREEDY: {"polyhead-int8": 40.0}},
        opponents={"polyhead-int8": []},
    )
    arrivals = next(entry[4] for entry in field.log if entry[1] == "serve")
    assert quarter.sentences == sum(arrival >= 2.0 for arrival in arrivals) < len(arrivals)
