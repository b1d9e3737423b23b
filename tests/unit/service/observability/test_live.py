"""What is told to those who watch: figures, rates, and records that are bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model.engine.batch_trace import BatchRecord, BatchStep
from model.engine.engine import EngineStats, StepStats
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.observability import live
from service.observability.hub import HubClient, MetricsHub
from service.observability.live import (
    BatchRecords,
    LiveFigures,
    LiveLook,
    LiveReports,
    ModelFigures,
    live_figures,
)
from service.observability.metrics import NO_MODEL, GatewayMetrics, TranslatorMetrics
from service.observability.snapshot import take_snapshot
from service.protocol import LoadedModel

MODELS = frozenset({"en-de"}) | NO_MODEL


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(num_steps: int = 1) -> BatchRecord:
    step = BatchStep(
        ended_at=1.0, seconds=0.5, worker=0, steps=1, rows=4, joined=(), cancelled=(),
        finished=(), waiting=0,
    )  # fmt: skip
    return BatchRecord(
        taken_at=2.0, max_slots=(64,), running=(), steps=(step,) * num_steps, dropped=0
    )


def translator(running: int = 3) -> TranslatorMetrics:
    metrics = TranslatorMetrics()
    of_model = metrics.of("en-de")
    of_model.observe_translations(
        [
            Translation(
                text="x", finish_reason=FinishReason.STOP, score=0.0,
                hypotheses=(TranslationHypothesis(text="x", score=0.0),),
                source_tokens=5, target_tokens=7,
            )
        ]
    )  # fmt: skip
    of_model.observe_steps(
        [
            StepStats(
                steps=4, rows=32, running=running, newcomers=1, encoded_tokens=5,
                encode_seconds=0.01, decode_seconds=0.02,
            )
        ]
    )  # fmt: skip
    of_model.set_engine(
        EngineStats(
            running=running, waiting=2, slots_used=12, max_slots=128, waiting_source_tokens=0,
            running_source_tokens=0, submitted_source_tokens=0, admitted_source_tokens=0,
            waiting_since=None,
        )
    )  # fmt: skip
    loaded = LoadedModel(key="en-de@1", id="en-de", bytes=1, pinned=False, calls=0)
    metrics.set_loaded([loaded])
    metrics.of("gone").set_loaded([loaded])
    return metrics


def test_figures_are_those_of_all_processes() -> None:
    gateway = GatewayMetrics()
    gateway.observe_request("/v1/translate", 200, 0.02, source="en", target="de")
    gateway.observe_request("/v1/translate", 503, 0.02, source="en", target="de")
    gateway.observe_request("/metrics", 200, 5.0)
    gateway.count_overload({"en-de": 1.0})
    snapshots = [take_snapshot(gateway.registry), translator().snapshot(), translator(1).snapshot()]
    found = live_figures(snapshots, MODELS)
    assert replace(found, latency=()) == LiveFigures(
        requests=2, failures=1, refused=1, source_tokens=10, target_tokens=14, steps=8, rows=64,
        running=4, waiting=4, slots_in_use=24, slots=256, replicas=2, gateways=1,
        models=(ModelFigures("en-de", 2, 4, 4),),
    )  # fmt: skip
    assert [count for bound, count in found.latency if bound == 0.025] == [1]
    assert [count for bound, count in found.latency if bound == 0.01] == [0]
    assert live_figures([], MODELS) == LiveFigures()


def look(at: float, **figures: Any) -> LiveLook:
    return LiveLook(at=at, number=0, figures=LiveFigures(**figures), batches=())


def test_rates_are_of_the_time_between_two_looks() -> None:
    reports = LiveReports()
    first = reports.rates(look(10.0, requests=5, steps=10, rows=10))
    assert first.requests_per_second is None
    assert (first.p50_seconds, first.rows_per_step) == (None, None)
    buckets = ((0.1, 2.0), (1.0, 4.0), (float("inf"), 4.0))
    second = reports.rates(look(12.0, requests=11, steps=14, rows=42, latency=buckets))
    assert (second.requests_per_second, second.rows_per_step) == (3.0, 8.0)
    assert second.p50_seconds == pytest.approx(0.1)
    assert second.p95_seconds == pytest.approx(0.1 + 0.9 * 0.9)
    third = reports.rates(look(13.0, requests=11, steps=14, rows=42, latency=buckets))
    assert (third.requests_per_second, third.rows_per_step) == (0.0, 0.0)
    assert third.p50_seconds == pytest.approx(0.1)  # of the last looks together
    # Another process counts from now on, on another clock.
    assert reports.rates(look(1.0, requests=4)).requests_per_second is None


def test_slow_ones_are_at_least_as_slow_as_the_last_bound() -> None:
    reports = LiveReports()
    reports.rates(look(1.0))
    rates = reports.rates(look(2.0, latency=((0.1, 0.0), (float("inf"), 3.0))))
    assert (rates.p50_seconds, rates.p95_seconds) == (0.1, 0.1)


def test_records_are_kept_only_while_somebody_watches() -> None:
    clock = Clock()
    records = BatchRecords(clock=clock)
    records.add("a", [("en-de", record())])
    assert not records.watched
    number, batches = records.look(None)
    assert batches == ()
    assert records.watched
    records.add("a", [("en-de", record())])
    clock.now += 1
    records.add("b", [("de-en", record())])
    number, batches = records.look(number)
    assert [(each.process, each.model, each.age) for each in batches] == [
        ("a", "en-de", 1.0), ("b", "de-en", 0.0),
    ]  # fmt: skip
    assert records.look(number) == (number, ())
    clock.now += live.WATCH_SECONDS
    assert not records.watched
    records.add("a", [("en-de", record())])
    assert not records._records


def test_only_so_much_is_kept() -> None:
    records = BatchRecords(clock=Clock())
    number, _ = records.look(None)
    for _ in range(live.MAX_RECORDS + 10):
        records.add("a", [("en-de", record())])
    assert len(records.look(number)[1]) == live.MAX_RECORDS
    number, _ = records.look(None)
    for _ in range(10):
        records.add("a", [("en-de", record(live.MAX_STEPS // 4))])
    assert len(records.look(number)[1]) == 4


def test_another_hub_does_not_know_the_number() -> None:
    assert BatchRecords(clock=Clock()).look(17) == (0, ())


class Traces:
    """Engines that tell whether they are watched."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def trace(self, on: bool) -> None:
        self.calls.append(on)

    def take_traces(self) -> list[tuple[str, BatchRecord]]:
        self.calls.append("taken")
        return [("en-de", record())]


async def test_a_replica_tells_of_its_batches_while_a_gateway_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = MetricsHub()
    hub._watch.cancel()

    class Direct(HubClient):
        """Talks to a hub in this process."""

        def _call(self, method: str, *args: Any, timeout: float, **kwargs: Any) -> Any:
            answer = getattr(hub, method)(*args, **kwargs)
            with pytest.raises(StopIteration) as ended:
                answer.send(None)
            return ended.value.value

    traces = Traces()
    replica = Direct("polyhead", "a replica", translator().snapshot, traces=traces)
    gateway = Direct("polyhead", "a gateway", dict)
    replica._push(timeout=1)
    assert traces.calls == []
    first = gateway.look(MODELS, None, timeout=1)
    assert (first.figures.running, first.batches) == (3, ())
    replica._push(timeout=1)
    replica._push(timeout=1)
    assert traces.calls == [True, "taken"]
    second = gateway.look(MODELS, first.number, timeout=1)
    assert [(each.process, each.model) for each in second.batches] == [("a replica", "en-de")]
    assert second.batches[0].record == record()
    # Nobody looks any more.
    monkeypatch.setattr(hub._records, "_watched_until", 0.0)
    replica._push(timeout=1)
    replica._push(timeout=1)
    assert traces.calls == [True, "taken", "taken", False]
