"""Metrics as plain data."""

from __future__ import annotations

import pickle

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.observability.snapshot import (
    cumulative_only,
    labelled_gauges,
    merge,
    render,
    take_snapshot,
)


def _registry(amount: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ("route",), registry=registry).labels("/a").inc(amount)
    Gauge("running", "Running.", registry=registry).set(amount)
    histogram = Histogram("seconds", "Seconds.", buckets=(0.1, 1, 10), registry=registry)
    for _ in range(amount):
        histogram.observe(0.5)
    return registry


def test_rendering_a_snapshot_is_rendering_its_registry() -> None:
    registry = _registry(3)
    text = generate_latest(registry).decode()
    expected = [line for line in text.splitlines() if "_created" not in line]
    rendered = render(take_snapshot(registry)).decode().splitlines()
    assert sorted(rendered) == sorted(expected)
    # Those of one metric together, and buckets in their order.
    buckets = [line for line in rendered if "seconds_bucket" in line]
    assert [line.split('"')[1] for line in buckets] == ["0.1", "1.0", "10.0", "+Inf"]


def test_merging_adds_up() -> None:
    merged = merge([take_snapshot(_registry(2)), take_snapshot(_registry(3))])
    assert merged == take_snapshot(_registry(5))


def test_merging_changes_none_of_its_parts() -> None:
    one, two = take_snapshot(_registry(2)), take_snapshot(_registry(3))
    merge([one, two])
    assert (one, two) == (take_snapshot(_registry(2)), take_snapshot(_registry(3)))


def test_gauges_keep_apart_by_replica() -> None:
    merged = merge(
        [
            labelled_gauges(take_snapshot(_registry(2)), "a"),
            labelled_gauges(take_snapshot(_registry(3)), "b"),
        ]
    )
    assert merged["running"].samples == {
        ("running", (("replica", "a"),)): 2,
        ("running", (("replica", "b"),)): 3,
    }
    assert merged["requests"].samples == {("requests_total", (("route", "/a"),)): 5}


def test_cumulative_only_drops_gauges() -> None:
    assert set(cumulative_only(take_snapshot(_registry(1)))) == {"requests", "seconds"}


def test_a_snapshot_travels() -> None:
    snapshot = take_snapshot(_registry(4))
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
