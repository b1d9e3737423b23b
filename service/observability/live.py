"""Figures of this moment, and what happens in the running batches, of all processes.

Nobody pays for them while nobody watches: replicas take note of their batches only as long as
somebody has looked lately, and what is kept of it is bounded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from service.observability.snapshot import Snapshot, merge, of_models

if TYPE_CHECKING:
    from model.engine.batch_trace import BatchRecord

__all__ = [
    "BatchRecords",
    "LiveFigures",
    "LiveLook",
    "LiveRates",
    "LiveReports",
    "ModelFigures",
    "TraceSource",
    "TracedBatch",
    "live_figures",
]

WATCH_SECONDS = 3.0
"""How long after a look somebody counts as watching."""
MAX_RECORDS = 256
"""Records of batches that are kept for those who look next."""
MAX_STEPS = 16_384
"""Steps in these records together."""
LATENCY_LOOKS = 10
"""Looks over which the times of requests are taken together."""

_REQUESTS = "polyhead_http_requests"
_LATENCY = "polyhead_e2e_request_latency_seconds"
_OVERLOADED = "polyhead_http_requests_overloaded"
_SOURCE_TOKENS = "polyhead_prompt_tokens"
_TARGET_TOKENS = "polyhead_generation_tokens"
_BATCH_ROWS = "polyhead_batch_rows"
_RUNNING = "polyhead_num_requests_running"
_WAITING = "polyhead_num_requests_waiting"
_SLOTS_IN_USE = "polyhead_slots_in_use"
_SLOTS = "polyhead_slots"
_LOADED = "polyhead_models_loaded"
_UP = "polyhead_process_up"
_FAMILIES = frozenset(
    (
        _REQUESTS, _LATENCY, _OVERLOADED, _SOURCE_TOKENS, _TARGET_TOKENS, _BATCH_ROWS, _RUNNING,
        _WAITING, _SLOTS_IN_USE, _SLOTS, _LOADED, _UP,
    )
)  # fmt: skip
"""The metrics that the figures are made of."""


class TraceSource(Protocol):
    """Engines that take note of their batches while somebody watches. Called on any thread."""

    def trace(self, on: bool) -> None:
        """Begins, or ends."""
        ...

    def take_traces(self) -> Sequence[tuple[str, BatchRecord]]:
        """What has happened since the last call, with the ids of the models."""
        ...


class ModelFigures(NamedTuple):
    """A model that is in memory somewhere."""

    name: str
    processes: int
    """Those that have loaded it."""
    running: int
    """Sequences that hold slots, as in the metrics."""
    waiting: int


@dataclass(frozen=True, kw_only=True)
class LiveFigures:
    """What all processes have counted, and how full they are now."""

    requests: float = 0.0
    """Translations that were asked for and answered, whatever came of them."""
    failures: float = 0.0
    """Those answered with a status from 500 on."""
    refused: float = 0.0
    """Requests that were refused since there was too much to do."""
    source_tokens: float = 0.0
    target_tokens: float = 0.0
    steps: float = 0.0
    """Decode steps of all engines."""
    rows: float = 0.0
    """Hypotheses decoded, summed over the steps."""
    latency: tuple[tuple[float, float], ...] = ()
    """How long translations took that succeeded: ascending bounds in seconds, and how many took
    at most that."""
    running: int = 0
    waiting: int = 0
    slots_in_use: int = 0
    slots: int = 0
    replicas: int = 0
    gateways: int = 0
    models: tuple[ModelFigures, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TracedBatch:
    """What a process has told of the batch of one of its engines."""

    process: str
    """As the metrics have it."""
    model: str
    age: float
    """Seconds since it was told."""
    record: BatchRecord


@dataclass(frozen=True, kw_only=True)
class LiveLook:
    """What there is to see at a moment."""

    at: float
    """Monotonic seconds of the process that looked, the same one each time."""
    number: int
    """The number of the last record, for the next look."""
    figures: LiveFigures
    batches: tuple[TracedBatch, ...]
    """Those told since the last look."""


class BatchRecords:
    """The last records of all processes, in the order in which they came. Not thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watched_until = float("-inf")
        self._records: deque[tuple[float, str, str, BatchRecord]] = deque()
        self._num_added = 0
        self._num_steps = 0

    @property
    def watched(self) -> bool:
        """Whether anybody has looked lately."""
        return self._clock() < self._watched_until

    def add(self, process: str, records: Iterable[tuple[str, BatchRecord]]) -> None:
        """Takes what a process tells, which is forgotten if nobody watches."""
        if not self.watched:
            self._records.clear()
            self._num_steps = 0
            return
        now = self._clock()
        for model, record in records:
            self._records.append((now, process, model, record))
            self._num_added += 1
            self._num_steps += len(record.steps)
        while len(self._records) > MAX_RECORDS or self._num_steps > MAX_STEPS:
            self._num_steps -= len(self._records.popleft()[3].steps)

    def look(self, after: int | None) -> tuple[int, tuple[TracedBatch, ...]]:
        """The number of the last record, and those that came after another one; none where that is
        None, as it is for who looks first."""
        now = self._clock()
        self._watched_until = now + WATCH_SECONDS
        if after is None or after > self._num_added:
            return self._num_added, ()
        new = min(self._num_added - after, len(self._records))
        kept = list(self._records)[len(self._records) - new :]
        batches = (
            TracedBatch(process=process, model=model, age=now - came_at, record=record)
            for came_at, process, model, record in kept
        )
        return self._num_added, tuple(batches)


def live_figures(snapshots: Iterable[Snapshot], models: frozenset[str]) -> LiveFigures:
    """The figures that the snapshots of all processes add up to.

    Args:
        snapshots: of which only some families are looked at.
        models: values of the label `model_name` that count.
    """
    some = ({name: each[name] for name in _FAMILIES & each.keys()} for each in snapshots)
    return _Sums(of_models(merge(some), models)).figures()


class _Sums:
    """The samples of all processes together."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def figures(self) -> LiveFigures:
        """What they say."""
        components = self._by(_UP, "component")
        loaded, running, waiting = (
            self._by(name, "model_name") for name in (_LOADED, _RUNNING, _WAITING)
        )
        requests = [
            (of["status"], value) for of, value in self._samples(_REQUESTS) if of.get("source")
        ]
        models = (
            ModelFigures(name, int(count), int(running.get(name, 0)), int(waiting.get(name, 0)))
            for name, count in sorted(loaded.items())
            if count
        )
        return LiveFigures(
            requests=sum(value for _, value in requests),
            failures=sum(value for status, value in requests if status >= "500"),
            refused=self._total(_OVERLOADED),
            source_tokens=self._total(_SOURCE_TOKENS),
            target_tokens=self._total(_TARGET_TOKENS),
            steps=self._total(_BATCH_ROWS, "_count"),
            rows=self._total(_BATCH_ROWS, "_sum"),
            latency=self._latency(),
            running=int(sum(running.values())),
            waiting=int(sum(waiting.values())),
            slots_in_use=int(self._total(_SLOTS_IN_USE)),
            slots=int(self._total(_SLOTS)),
            replicas=int(components.get("translator", 0)),
            gateways=int(components.get("gateway", 0)),
            models=tuple(models),
        )

    def _samples(self, name: str, suffix: str = "") -> Iterable[tuple[dict[str, str], float]]:
        """Labels and values of a family, or of those of its samples whose names end so."""
        family = self._snapshot.get(name)
        for (sample, labels), value in family.samples.items() if family else ():
            if sample.endswith(suffix):
                yield dict(labels), value

    def _total(self, name: str, suffix: str = "") -> float:
        return sum(value for _, value in self._samples(name, suffix))

    def _by(self, name: str, label: str) -> dict[str, float]:
        totals: dict[str, float] = {}
        for labels, value in self._samples(name):
            totals[labels[label]] = totals.get(labels[label], 0.0) + value
        return totals

    def _latency(self) -> tuple[tuple[float, float], ...]:
        counts: dict[float, float] = {}
        for labels, value in self._samples(_LATENCY, "_bucket"):
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0.0) + value
        return tuple(sorted(counts.items()))


@dataclass(frozen=True, kw_only=True)
class LiveRates:
    """What is told of a look: rates since the last one, and how full everything is."""

    requests_per_second: float | None
    """None at the first look, as are all that are per second."""
    failures_per_second: float | None
    refused_per_second: float | None
    source_tokens_per_second: float | None
    target_tokens_per_second: float | None
    p50_seconds: float | None
    """Seconds of the translations of the last looks; None if there were none."""
    p95_seconds: float | None
    rows_per_step: float | None
    """Mean of the decode steps since the last look; 0 if there were none."""
    now: LiveFigures


class LiveReports:
    """Looks one after the other, as rates."""

    def __init__(self) -> None:
        self._looks: deque[LiveLook] = deque(maxlen=LATENCY_LOOKS + 1)

    def rates(self, look: LiveLook) -> LiveRates:
        """What a look tells after those before it."""
        if self._looks and look.at < self._looks[-1].at:
            self._looks.clear()  # another process counts now
        if self._looks and look.at == self._looks[-1].at:
            self._looks.pop()  # it was the same one
        before = self._looks[-1] if self._looks else None
        self._looks.append(look)
        p50, p95 = (
            _quantile(share, self._looks[0].figures.latency, look.figures.latency)
            for share in (0.5, 0.95)
        )

        def rate(name: str) -> float | None:
            if before is None:
                return None
            grown = getattr(look.figures, name) - getattr(before.figures, name)
            return max(0.0, float(grown)) / (look.at - before.at)

        steps, rows = rate("steps"), rate("rows")
        return LiveRates(
            requests_per_second=rate("requests"),
            failures_per_second=rate("failures"),
            refused_per_second=rate("refused"),
            source_tokens_per_second=rate("source_tokens"),
            target_tokens_per_second=rate("target_tokens"),
            p50_seconds=p50,
            p95_seconds=p95,
            rows_per_step=None if steps is None or rows is None else rows / steps if steps else 0.0,
            now=look.figures,
        )


def _quantile(
    share: float,
    before: Sequence[tuple[float, float]],
    now: Sequence[tuple[float, float]],
) -> float | None:
    """The time within which that share of what was counted between two moments was done, as
    Prometheus's histogram_quantile says it: evenly spread within a bucket."""
    known = dict(before)
    counts = [(bound, count - known.get(bound, 0.0)) for bound, count in now]
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    wanted = share * total
    for (lower, below), (upper, count) in pairwise([(0.0, 0.0), *counts]):
        if count >= wanted:
            if upper == float("inf"):
                return lower
            return lower + (upper - lower) * (wanted - below) / max(count - below, 1e-9)
    return None
