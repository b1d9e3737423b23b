"""One process's metrics as plain data: taken from a registry, summed with others, written as text.

Processes push snapshots to the metrics hub. They are cumulative, so a lost push costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

__all__ = [
    "Family",
    "SampleKey",
    "Snapshot",
    "cumulative_only",
    "labelled_gauges",
    "merge",
    "of_models",
    "render",
    "take_snapshot",
]

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
        return self.kind in ("counter", "histogram")


Snapshot = Mapping[str, Family]
"""Families by name."""


def take_snapshot(registry: CollectorRegistry) -> dict[str, Family]:
    """The current samples of `registry`, without prometheus-client's creation times."""
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

    Gauges with equal labels are added up, too: label them by process first (`labelled_gauges`).
    """
    merged: dict[str, Family] = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            samples = merged.setdefault(name, replace(family, samples={})).samples
            for key, value in family.samples.items():
                samples[key] = samples.get(key, 0.0) + value
    return merged


def cumulative_only(snapshot: Snapshot) -> dict[str, Family]:
    """The counters and histograms, which outlive their process."""
    return {name: family for name, family in snapshot.items() if family.cumulative}


def of_models(snapshot: Snapshot, names: frozenset[str]) -> Snapshot:
    """The snapshot without samples whose label `model_name` is none of these; itself if it has
    none of those."""

    def belongs(key: SampleKey) -> bool:
        return all(value in names for label, value in key[1] if label == "model_name")

    if all(belongs(key) for family in snapshot.values() for key in family.samples):
        return snapshot
    return {
        name: replace(
            family, samples={key: value for key, value in family.samples.items() if belongs(key)}
        )
        for name, family in snapshot.items()
    }


def labelled_gauges(snapshot: Snapshot, replica: str) -> dict[str, Family]:
    """The snapshot with the further label `replica` on every gauge."""
    labelled = dict(snapshot)
    for name, family in snapshot.items():
        if not family.cumulative:
            samples = {
                (sample, (*labels, ("replica", replica))): value
                for (sample, labels), value in family.samples.items()
            }
            labelled[name] = replace(family, samples=samples)
    return labelled


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
