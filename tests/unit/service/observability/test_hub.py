"""The hub's book-keeping: sums never fall, whoever dies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.observability import hub as metrics_hub
from service.observability.hub import MAX_SILENT, STALE_SECONDS, Aggregator, HubBackup, HubClient
from service.observability.metrics import SHARED_MODELS, GatewayMetrics
from service.observability.snapshot import Family, Snapshot, take_snapshot


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _snapshot(requests: float, running: float = 1.0) -> Snapshot:
    return {
        "requests": Family(
            name="requests",
            kind="counter",
            documentation="Requests.",
            samples={("requests_total", ()): requests},
        ),
        "running": Family(
            name="running", kind="gauge", documentation="Now.", samples={("running", ()): running}
        ),
    }


def _sum(aggregator: Aggregator) -> float:
    merged = aggregator.merged(frozenset())
    return merged["requests"].samples["requests_total", ()] if "requests" in merged else 0.0


def _gauges(aggregator: Aggregator) -> dict[str, float]:
    merged = aggregator.merged(frozenset())
    if "running" not in merged:
        return {}
    return {
        dict(labels)["replica"]: value for (_, labels), value in merged["running"].samples.items()
    }


def test_rays_head_keeps_no_record_of_the_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[dict[str, Any]] = []

    class Remote:
        def __init__(self, _: type) -> None: ...

        def options(self, **options: Any) -> Remote:
            created.append(options)
            return self

        def remote(self) -> None:
            raise NotImplementedError

    monkeypatch.setattr(metrics_hub.ray, "remote", Remote)
    with pytest.raises(NotImplementedError):
        HubClient("an application", "a gateway", lambda: {}).merged(frozenset(), timeout=1.0)
    assert created[0]["enable_task_events"] is False


def test_a_push_replaces_the_one_before() -> None:
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("a", _snapshot(3))
    aggregator.push("b", _snapshot(10, running=4))
    aggregator.push("a", _snapshot(5, running=2))
    assert _sum(aggregator) == 15
    assert _gauges(aggregator) == {"a": 2, "b": 4}


def test_the_silent_keep_their_counts_and_lose_their_gauges() -> None:
    clock = _Clock()
    aggregator = Aggregator(clock=clock)
    aggregator.push("dead", _snapshot(7))
    clock.now += STALE_SECONDS
    aggregator.push("alive", _snapshot(1))
    assert _sum(aggregator) == 8
    assert _gauges(aggregator) == {"alive": 1}
    # It was only slow.
    aggregator.push("dead", _snapshot(9))
    assert _sum(aggregator) == 10
    assert _gauges(aggregator) == {"alive": 1, "dead": 1}


def test_a_final_push_is_folded_once_and_for_all() -> None:
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("a", _snapshot(7), final=True)
    aggregator.push("a", _snapshot(7))
    assert _sum(aggregator) == 7
    assert _gauges(aggregator) == {}
    assert aggregator.backup().sources == {}


def test_only_so_many_silent_ones_are_remembered_singly() -> None:
    clock = _Clock()
    aggregator = Aggregator(clock=clock)
    for index in range(3 * MAX_SILENT):
        aggregator.push(f"dead-{index}", _snapshot(2))
    clock.now += STALE_SECONDS
    aggregator.push("alive", _snapshot(1))
    assert len(aggregator.backup().sources) == MAX_SILENT + 1
    assert f"dead-{3 * MAX_SILENT - 1}" in aggregator.backup().sources
    assert _sum(aggregator) == 6 * MAX_SILENT + 1


def test_a_new_hub_takes_over_without_counting_twice() -> None:
    old = Aggregator(clock=_Clock())
    old.push("gone", _snapshot(100), final=True)
    old.push("dead", _snapshot(10))
    old.push("alive", _snapshot(1))
    backup = old.backup()

    new = Aggregator(clock=_Clock())
    new.push("alive", _snapshot(3))  # before anybody has brought the backup
    new.restore(backup)
    new.restore(backup)
    assert _sum(new) == 113
    new.push("alive", _snapshot(4))
    assert _sum(new) == 114
    assert _gauges(new) == {"alive": 1}


def test_of_two_backups_the_later_one_wins() -> None:
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("a", _snapshot(5))
    aggregator.push("b", _snapshot(1))
    earlier = aggregator.backup()
    aggregator.push("a", _snapshot(7), final=True)
    later = aggregator.backup()
    for order in ((earlier, later), (later, earlier)):
        new = Aggregator(clock=_Clock())
        for backup in order:
            new.restore(backup)
        assert _sum(new) == 8


def test_an_empty_backup_changes_nothing() -> None:
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("a", _snapshot(5))
    aggregator.restore(HubBackup())
    assert _sum(aggregator) == 5


_EVENTS = st.lists(
    st.tuples(st.sampled_from(["count", "end", "silence", "new hub"]), st.integers(0, 5)),
    max_size=40,
)


@given(_EVENTS)
def test_sums_never_fall_and_never_exceed_what_happened(events: list[tuple[str, int]]) -> None:
    clock = _Clock()
    aggregator = Aggregator(clock=clock)
    alive: dict[str, int] = {}
    ended = 0
    happened = 0
    for kind, who in events:
        if kind == "count":
            # Once one has ended, others come, with names of their own.
            name = f"{who}-{ended}"
            alive[name] = alive.get(name, 0) + 1
            happened += 1
            aggregator.push(name, _snapshot(alive[name]))
        elif kind == "end" and alive:
            name = sorted(alive)[who % len(alive)]
            aggregator.push(name, _snapshot(alive.pop(name)), final=True)
            ended += 1
        elif kind == "silence":
            clock.now += STALE_SECONDS
        elif kind == "new hub":
            backup = aggregator.backup()
            aggregator = Aggregator(clock=clock)
            aggregator.restore(backup)
        assert _sum(aggregator) == happened


def _overloaded(gateway_metrics: GatewayMetrics, times: int, **shares: float) -> Snapshot:
    for _ in range(times):
        gateway_metrics.count_overload(shares)
    return take_snapshot(gateway_metrics.registry)


def test_refused_requests_are_counted_over_all_who_ever_were() -> None:
    aggregator = Aggregator(clock=_Clock())
    assert aggregator.refused() == {}
    aggregator.push("gone", _overloaded(GatewayMetrics(), 2, a=1.0), final=True)
    aggregator.push("here", _overloaded(GatewayMetrics(), 4, a=0.25, b=0.75))
    aggregator.push("early", _overloaded(GatewayMetrics(), 5))
    aggregator.push("translator", _snapshot(3))
    assert aggregator.refused() == {"a": 3, "b": 3, "": 5}


def test_what_is_refused_for_shared_models_is_told_together_as_well() -> None:
    metrics = GatewayMetrics()
    metrics.set_models({"a": True, "b": True, "c": False})
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("here", _overloaded(metrics, 4, a=0.25, b=0.5, c=0.25))
    assert aggregator.refused() == {"a": 1, "b": 2, "c": 1, SHARED_MODELS: 3}


def test_what_was_counted_for_models_that_are_no_more_is_forgotten() -> None:
    clock = _Clock()
    aggregator = Aggregator(clock=clock)
    aggregator.push("gone", _overloaded(GatewayMetrics(), 1, a=0.5, b=0.5), final=True)
    aggregator.push("silent", _overloaded(GatewayMetrics(), 2, a=0.5, b=0.5))
    clock.now += STALE_SECONDS
    aggregator.push("here", _overloaded(GatewayMetrics(), 4, a=0.5, b=0.5))
    aggregator.push("too", _overloaded(GatewayMetrics(), 8))

    def counted(*models: str) -> dict[str, float]:
        family = aggregator.merged(frozenset(models))["polyhead_http_requests_overloaded"]
        return {dict(labels)["model_name"]: value for (_, labels), value in family.samples.items()}

    assert counted("a", "b") == {"a": 3.5, "b": 3.5, "": 8}
    assert counted("a") == {"a": 3.5, "": 8}
    # Of those that are gone it was forgotten for good; those that are there tell it again.
    assert counted("a", "b") == {"a": 3.5, "b": 2, "": 8}


@pytest.mark.parametrize("status", [200, 429, 500, 503, 504])
def test_no_status_alone_is_demand(status: int) -> None:
    metrics = GatewayMetrics()
    metrics.observe_request("/v1/translate", status, 0.1)
    aggregator = Aggregator(clock=_Clock())
    aggregator.push("gateway", take_snapshot(metrics.registry))
    assert aggregator.refused() == {}
