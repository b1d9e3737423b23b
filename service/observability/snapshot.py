"""One process's metrics as plain data: taken from a registry, summed with others, written as text.

A snapshot is what a replica sends to the hub. It is cumulative, so a lost one costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

__all__ = [
    "Family",
    "SampleKey",
    "Snapshot",
    "cumulative_only",
    "labelled_gauges",
    "merge",
    "render",
    "take_snapshot",
]

_CUMULATIVE = frozenset({"counter", "histogram"})
"""Kinds whose samples may be added up over processes, and never fall."""

SampleKey = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name (`..._bucket`, `..._sum`, ...) and its labels."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One metric with all its label values."""

    name: str
    """Without the `_total` of counters."""
    kind: str
    """"counter", "histogram" or "gauge"."""
    documentation: str
    samples: dict[SampleKey, float] = field(default_factory=dict)

    @property
    def cumulative(self) -> bool:
        """Whether the samples only grow, and add up over processes."""
        return self.kind in _CUMULATIVE


Snapshot = Mapping[str, Family]
"""Families by name."""


def take_snapshot(registry: CollectorRegistry) -> dict[str, Family]:
    """Everything `registry` holds now, without the creation times prometheus-client adds."""
    families: dict[str, Family] = {}
    for metric in registry.collect():
        families[metric.name] = Family(
            name=metric.name,
            kind=metric.type,
            documentation=metric.documentation,
            samples={
                (sample.name, tuple(sample.labels.items())): float(sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            },
        )
    return families


def merge(snapshots: Iterable[Snapshot]) -> dict[str, Family]:
    """The sum of all snapshots, sample by sample.

    Gauges are added up too where their labels are equal: give them a label of their process first
    (`labelled_gauges`).
    """
    merged: dict[str, Family] = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            if name not in merged:
                merged[name] = Family(
                    name=name, kind=family.kind, documentation=family.documentation
                )
            samples = merged[name].samples
            for key, value in family.samples.items():
                samples[key] = samples.get(key, 0.0) + value
    return merged


def cumulative_only(snapshot: Snapshot) -> dict[str, Family]:
    """Counters and histograms: what outlives the process that counted."""
    return {name: family for name, family in snapshot.items() if family.cumulative}


def labelled_gauges(snapshot: Snapshot, replica: str) -> dict[str, Family]:
    """The same, with `replica` as one more label of every gauge."""
    return {
        name: family
        if family.cumulative
        else Family(
            name=name,
            kind=family.kind,
            documentation=family.documentation,
            samples={
                (sample, (*labels, ("replica", replica))): value
                for (sample, labels), value in family.samples.items()
            },
        )
        for name, family in snapshot.items()
    }


def render(snapshot: Snapshot) -> bytes:
    """The Prometheus text format (version 0.0.4), families in the order of their names."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(snapshot))
    return generate_latest(registry)


class _Fixed(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for name in sorted(self._snapshot):
            family = self._snapshot[name]
            metric = Metric(name, family.documentation, family.kind)
            for (sample, labels), value in family.samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric
