"""The regimes: every contender is prepared for its jobs, then all take turns, round by round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from loadtests.bench.contender import Peer, Regime, Search, Setup, Task, TokenIds
from loadtests.bench.field import Field
from loadtests.bench.figures import Spread, percentile
from loadtests.bench.options import BenchOptions
from loadtests.bench.worker import Translated, Worker
from loadtests.bench.workload import Workload, poisson_arrivals

__all__ = [
    "SHARES",
    "Advance",
    "Job",
    "Measurement",
    "Score",
    "closed_jobs",
    "measure",
    "num_turns",
    "online_jobs",
]

SHARES = (0.25, 0.50, 0.80)
"""Loads: shares of somebody's capacity, which is its sentences a second in throughput."""
_THROUGHPUT_SAMPLE = 256
_LATENCY_SAMPLE = 8
_LEAST_PORTION = 64
_UNSETTLED = 0.2
"""First part of an online round that does not count: the queue has to find its level."""
_TRIAL = 0.25
"""Length of a trial run, as a share of an online round."""

Advance = Callable[[str], None]
"""Told what has just been done, for people who wait."""
Score = Callable[[Sequence[Sequence[int]]], float]
"""BLEU of targets against the references of as many first sources."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One contender in one regime with one search, and under one load if there is any."""

    contender: str
    """Its label, as in "ctranslate2-int8"."""
    regime: Regime
    search: Search
    load: str | None = None
    """A share of someone's capacity, as in "80% of ctranslate2-int8"."""
    setup: Setup
    figures: dict[str, Spread]
    """By name, which ends with the unit."""
    sentences: int
    """Sentences of one round."""
    output_tokens: int | None = None
    """Tokens of the first round's targets, end tokens included."""
    planned_lengths: float | None = None
    """Share of targets exactly as long as was planned."""
    bleu: float | None = None


class Job(ABC):
    """What one contender does in every round."""

    def __init__(self, worker: Worker, task: Task, workload: Workload, options: BenchOptions):
        self.worker = worker
        self.task = task
        self._workload = workload
        self._options = options

    @property
    def name(self) -> str:
        """Who does what, for people who wait."""
        load = [] if self.task.load is None else [self.task.load]
        return ", ".join([self.worker.spec.label, self.task.search, *load])

    @abstractmethod
    def prepare(self) -> Setup:
        """Sets the contender up, and says how."""

    @abstractmethod
    def run(self, number: int) -> dict[str, float]:
        """The figures of a round, by name."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Further fields of the measurement, after the last round."""


def num_turns(jobs: Sequence[Job], options: BenchOptions) -> int:
    """How often `measure` advances."""
    return len(jobs) * (options.rounds + 1)


def measure(
    field: Field, jobs: Sequence[Job], options: BenchOptions, advance: Advance
) -> list[Measurement]:
    """Prepares for all jobs, then runs each in every round.

    Returns:
        The measurement of each job.
    """
    setups: list[Setup] = []
    for job in jobs:
        with field.turn(job.worker):
            setups.append(job.prepare())
        advance(f"{job.name}: prepared")
    rounds: list[list[dict[str, float]]] = [[] for _ in jobs]
    for number in range(options.rounds):
        for job, figures in zip(jobs, rounds, strict=True):
            with field.turn(job.worker):
                figures.append(job.run(number))
            advance(f"{job.name}: round {number + 1}")
    return [
        Measurement(
            contender=job.worker.spec.label,
            regime=job.task.regime,
            search=job.task.search,
            load=job.task.load,
            setup=setup,
            figures={name: Spread.of([each[name] for each in figures]) for name in figures[0]},
            **job.facts(),
        )
        for job, setup, figures in zip(jobs, setups, rounds, strict=True)
    ]


def closed_jobs(
    regime: Regime,
    workers: Sequence[Worker],
    workload: Workload,
    options: BenchOptions,
    score: Score | None = None,
) -> list[Job]:
    """Latency or throughput: the next call begins when the last one has ended."""
    return [
        _ClosedJob(worker, Task(regime, search), workload, options, score)
        for search in options.searches
        for worker in workers
    ]


def online_jobs(
    workers: Sequence[Worker],
    workload: Workload,
    options: BenchOptions,
    *,
    capacity: Mapping[tuple[Search, str], float],
    opponents: Mapping[str, Sequence[str]],
) -> list[Job]:
    """Poisson arrivals: the same for everybody at the same load, and others in each round.

    Args:
        capacity: sentences a second of each contender with each search.
        opponents: for each contender, who bears shares of its capacity beside itself: ours a
            peer's, nobody ours.
    """
    by_label = {worker.spec.label: worker for worker in workers}
    return [
        _OnlineJob(
            by_label[label], search, share, owner, capacity[search, owner], workload, options
        )
        for search in options.searches
        for owner, others in opponents.items()
        for share in SHARES
        for label in (*others, owner)
    ]


class _ClosedJob(Job):
    def __init__(
        self,
        worker: Worker,
        task: Task,
        workload: Workload,
        options: BenchOptions,
        score: Score | None,
    ) -> None:
        super().__init__(worker, task, workload, options)
        self._score = score
        self._first: Translated | None = None

    def prepare(self) -> Setup:
        """Tries set-ups: large batches need many sentences to show what they can."""
        sources = self._workload.sources
        most = max(_THROUGHPUT_SAMPLE, len(sources) // 2)
        if self.task.regime is Regime.LATENCY:
            most = _LATENCY_SAMPLE
        return self.worker.prepare(self.task, sources[:most])

    def run(self, number: int) -> dict[str, float]:
        turn = self.worker.translate(self.task, self._sources())
        self._first = self._first or turn
        seconds = sum(turn.seconds)
        if self.task.regime is Regime.THROUGHPUT:
            return {
                "tokens_per_second": turn.num_tokens / seconds,
                "sentences_per_second": len(turn.targets) / seconds,
            }
        return {
            "mean_ms": 1e3 * seconds / len(turn.seconds),
            "p50_ms": 1e3 * percentile(turn.seconds, 0.50),
            "p95_ms": 1e3 * percentile(turn.seconds, 0.95),
            "per_token_ms": 1e3 * seconds / turn.num_tokens,
        }

    def facts(self) -> dict[str, Any]:
        assert self._first is not None  # there was a round
        targets, planned = self._first.targets, self._workload.planned
        facts: dict[str, Any] = {
            "sentences": len(targets),
            "output_tokens": self._first.num_tokens,
        }
        if planned is not None:
            hits = [len(t) + 1 == n for t, n in zip(targets, planned, strict=False)]
            facts["planned_lengths"] = sum(hits) / len(hits)
        if self._score is not None:
            facts["bleu"] = self._score(targets)
        return facts

    def _sources(self) -> Sequence[TokenIds]:
        """Those of a round; a rate needs fewer of a slow contender."""
        sources = self._workload.sources
        if self.task.regime is Regime.LATENCY:
            return sources[: self._options.latency_sentences]
        if self.worker.spec.name == Peer.TRANSFORMERS:
            return sources[: max(_LEAST_PORTION, len(sources) // 4)]
        return sources


class _OnlineJob(Job):
    def __init__(
        self,
        worker: Worker,
        search: Search,
        share: float,
        owner: str,
        capacity: float,
        workload: Workload,
        options: BenchOptions,
    ) -> None:
        task = Task(Regime.ONLINE, search, f"{share:.0%} of {owner}")
        super().__init__(worker, task, workload, options)
        self._share = share
        self._rate = share * capacity
        self._sentences = 0

    def prepare(self) -> Setup:
        """A trial run."""
        sources, arrivals = self._work("trial", _TRIAL * self._options.seconds)
        setup = self.worker.prepare(self.task, sources, arrivals)
        return {"requests_per_second": self._rate, **setup}

    def run(self, number: int) -> dict[str, float]:
        sources, arrivals = self._work(str(number), self._options.seconds)
        latencies = self.worker.serve(self.task, sources, arrivals)
        begin = _UNSETTLED * self._options.seconds
        settled = [
            latency
            for latency, arrival in zip(latencies, arrivals, strict=True)
            if arrival >= begin
        ] or latencies
        self._sentences = self._sentences or len(settled)
        return {
            f"p{100 * share:.0f}_ms": 1e3 * percentile(settled, share)
            for share in (0.50, 0.95, 0.99)
        }

    def facts(self) -> dict[str, Any]:
        return {"sentences": self._sentences}

    def _work(self, name: str, seconds: float) -> tuple[list[TokenIds], list[float]]:
        """Sources, and the times at which they arrive."""
        seed = f"{self._options.seed}/{self._share}/{name}"
        arrivals = poisson_arrivals(self._rate, seconds, seed=seed)
        return list(islice(cycle(self._workload.sources), len(arrivals))), arrivals
