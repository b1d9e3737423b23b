"""The regimes: every contender is prepared for its jobs, then all take turns, round by round."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, groupby, islice
from typing import Any

import numpy as np
from tqdm import tqdm

from loadtests.bench.budget import Budget, fitting
from loadtests.bench.contender import Regime, Search, Setup, Task, TokenIds, Translated
from loadtests.bench.options import BenchOptions, Pair
from loadtests.bench.peaks import operations
from loadtests.bench.worker import SETTLE_SECONDS, Field, Worker
from loadtests.bench.workload import Workload, poisson_arrivals
from loadtests.report import spread

__all__ = [
    "OPEN_REGIMES",
    "Job",
    "Measurement",
    "Score",
    "closed_jobs",
    "measure",
    "measure_regimes",
]

OPEN_REGIMES = (Regime.LATENCY, Regime.THROUGHPUT, Regime.ONLINE)
"""What is measured on sentences as they come; lengths are measured apart."""
SHARES = (0.25, 0.50, 0.80)
"""Loads: shares of somebody's capacity, which is its sentences a second in throughput."""
MAX_ARRIVALS = 8000.0
"""Most arrivals a second: more than that, one sender in the same process does not keep up with."""
_THROUGHPUT_SAMPLE = 256
_LATENCY_SAMPLE = 8
_PROBE = 8
"""Sentences that show roughly how long one takes."""
_PREPARING = 0.3
"""Most of a bounded time that goes into set-ups, as a share."""
_WAYS = 7
"""How often a contender may go through the sample for that: six set-ups, and the best again."""
_UNSETTLED = 0.2
"""First part of an online round that does not count: the queue has to find its level."""
_TRIAL = 0.25
"""Length of a trial run, as a share of an online round."""

Score = Callable[[Search, Translated], dict[str, float]]
"""What is to be said of a search's targets of as many first sources, by name: their BLEU."""


Measurement = dict[str, Any]
"""One contender in one regime with one search, as the line of JSON has it.

`load`, where there is one, is a share of someone's capacity, as in "80% of ctranslate2-int8".
`figures` are spreads by name, which ends with the unit. `sentences` are those of one round;
`output_tokens`, end tokens included, those of the first round's targets; `operations` what its
products took (see `peaks`). `planned_lengths` is the share of targets exactly as long as planned.
"""


def measure_regimes(
    field: Field,
    workload: Workload,
    options: BenchOptions,
    pairs: Sequence[Pair] = (),
    score: Score | None = None,
    budget: Budget | None = None,
) -> list[Measurement]:
    """Measures all contenders in the regimes of `options`, one after the other.

    Args:
        pairs: who is compared; ours are measured at the loads of their peers, too.
        score: where translations are held to references.
        budget: the time for all of them; None takes what it takes.
    """
    found: list[Measurement] = []
    budget = budget or Budget(None)
    for number, regime in enumerate(options.regimes):
        seconds = budget.left() / (len(options.regimes) - number)
        if regime is not Regime.ONLINE:
            jobs = closed_jobs(regime, field.workers, workload, options, score)
        else:
            flood = [m for m in found if m["regime"] is Regime.THROUGHPUT]
            if not flood:  # only to set the loads: nobody has asked for the figures
                jobs = closed_jobs(Regime.THROUGHPUT, field.workers, workload, options)
                flood = measure(field, jobs, options, seconds / 4)
                seconds = budget.left()
            rates = {
                (m["search"], m["contender"]): m["figures"]["sentences_per_second"]["median"]
                for m in flood
            }
            jobs = online_jobs(field.workers, workload, options, capacity=rates, pairs=pairs)
        found += measure(field, jobs, options, seconds)
    return found


def measure(
    field: Field, jobs: Sequence[Job], options: BenchOptions, seconds: float = math.inf
) -> list[Measurement]:
    """Prepares for all jobs, then runs each in every round; progress goes to stderr.

    Args:
        seconds: for all of it. Jobs become smaller to fit in, and rounds that would end later are
            left out, except for the first.

    Returns:
        The measurement of each job.
    """
    end = time.monotonic() + seconds
    setups: list[Setup] = []
    rounds: list[list[dict[str, float]]] = [[] for _ in jobs]
    turns = len(jobs) * (options.rounds + 1)
    with tqdm(total=turns, unit="turn", file=sys.stderr, desc=jobs[0].task.regime) as progress:
        for number in range(-1, options.rounds):
            started = time.monotonic()
            for job, figures in zip(jobs, rounds, strict=True):
                progress.set_postfix_str(f"{job.name}{'' if number >= 0 else ', set-up'}")
                with field.turn(job.worker):
                    if number < 0:
                        setups.append(job.prepare(_PREPARING * seconds / len(jobs)))
                    else:
                        figures.append(job.run(number))
                progress.update()
            now = time.monotonic()
            if number < 0:
                fit(jobs, (end - now) / options.rounds)
            elif now + (now - started) > end:
                break
    return [
        {
            "contender": job.worker.spec.label,
            **{name: value for name, value in job.task._asdict().items() if value is not None},
            "setup": setup,
            "figures": {name: spread([each[name] for each in figures]) for name in figures[0]},
            **job.facts,
        }
        for job, setup, figures in zip(jobs, setups, rounds, strict=True)
    ]


def fit(jobs: Sequence[Job], seconds: float) -> None:
    """Makes jobs as large as a round of `seconds` allows; searches share that evenly."""
    seconds -= len(jobs) * SETTLE_SECONDS
    searches = [list(group) for _, group in groupby(jobs, key=lambda job: job.task.search)]
    for group in searches:
        costs = {job.name: job.cost for job in group}
        size = fitting(seconds / len(searches), costs, most=max(job.size for job in group))
        for job in group:
            job.size = min(job.size, max(job.least, size))


def closed_jobs(
    regime: Regime,
    workers: Sequence[Worker],
    workload: Workload,
    options: BenchOptions,
    score: Score | None = None,
) -> list[Job]:
    """Latency or throughput: the next call begins when the last one has ended."""
    return [
        _ClosedJob(
            worker=worker,
            task=Task(regime, search),
            workload=workload,
            options=options,
            score=score,
        )
        for search in options.searches
        for worker in workers
    ]


def online_jobs(
    workers: Sequence[Worker],
    workload: Workload,
    options: BenchOptions,
    *,
    capacity: Mapping[tuple[Search, str], float],
    pairs: Sequence[Pair],
) -> list[Job]:
    """Poisson arrivals: the same for everybody at the same load, and others in each round.

    Each contender bears shares of its own capacity, and ours those of a peer's beside it.

    Args:
        capacity: sentences a second of each contender with each search.
    """
    by_label = {worker.spec.label: worker for worker in workers}
    bearers: dict[str, list[str]] = {}
    for pair in pairs:
        bearers.setdefault(pair.their_label, []).append(pair.our_label)
    bearers |= {w.spec.label: [] for w in workers if w.spec.name == "polyhead"}
    return [
        _OnlineJob(
            worker=by_label[label],
            task=Task(Regime.ONLINE, search, f"{share:.0%} of {owner}"),
            workload=workload,
            options=options,
            rate=min(share * capacity[search, owner], MAX_ARRIVALS),
            seed=f"{options.seed}/{share}",
        )
        for search in options.searches
        for owner, others in bearers.items()
        for share in SHARES
        for label in (*others, owner)
    ]


@dataclass(kw_only=True)
class Job(ABC):
    """What one contender does in every round."""

    worker: Worker
    task: Task
    workload: Workload
    options: BenchOptions
    facts: dict[str, Any] = field(default_factory=dict, init=False)
    """Further fields of the measurement, from the first round."""
    size: float = field(default=0.0, init=False)
    """How much is done in a round: sentences, or seconds of arrivals."""
    least: float = field(default=1.0, init=False)
    """No less of it tells anything."""
    cost: float = field(default=0.0, init=False)
    """Seconds that one of `size` takes, once prepared; 0 is not known."""

    @property
    def name(self) -> str:
        """Who does what, for people who wait."""
        return ", ".join(filter(None, [self.worker.spec.label, self.task.search, self.task.load]))

    @abstractmethod
    def prepare(self, seconds: float) -> Setup:
        """Sets the contender up in about that time, and says how."""

    @abstractmethod
    def run(self, number: int) -> dict[str, float]:
        """The figures of a round, by name."""


@dataclass(kw_only=True)
class _ClosedJob(Job):
    score: Score | None

    def __post_init__(self) -> None:
        self.size, self.least = len(self.workload.sources), _PROBE
        if self.task.regime is Regime.LATENCY:
            self.size = min(self.size, self.options.latency_sentences)

    def prepare(self, seconds: float) -> Setup:
        """Tries set-ups: large batches need many sentences to show what they can."""
        sources = self.workload.sources
        most = max(_THROUGHPUT_SAMPLE, len(sources) // 2)
        if self.task.regime is Regime.LATENCY:
            most = _LATENCY_SAMPLE
        if math.isinf(seconds):
            return self.worker.prepare(self.task, sources[:most])
        rough = self._seconds_each(_PROBE)
        most = max(_PROBE, int(fitting(seconds, {self.name: _WAYS * rough}, most=most)))
        setup = self.worker.prepare(self.task, sources[:most])
        each = self._seconds_each(most) if most > _PROBE else rough
        self.cost = each
        return setup

    def _seconds_each(self, count: int) -> float:
        turn = self.worker.translate(self.task, self.workload.sources[:count])
        return sum(turn.seconds) / len(turn.targets)

    def run(self, number: int) -> dict[str, float]:
        turn = self.worker.translate(self.task, self._sources())
        self.facts = self.facts or self._facts(turn)
        seconds = sum(turn.seconds)
        if self.task.regime is Regime.THROUGHPUT:
            return {
                "tokens_per_second": turn.num_tokens / seconds,
                "sentences_per_second": len(turn.targets) / seconds,
            }
        return {
            "mean_ms": 1e3 * seconds / len(turn.seconds),
            "p50_ms": 1e3 * _percentile(turn.seconds, 0.50),
            "p95_ms": 1e3 * _percentile(turn.seconds, 0.95),
            "per_token_ms": 1e3 * seconds / turn.num_tokens,
        }

    def _facts(self, turn: Translated) -> dict[str, Any]:
        targets, planned = turn.targets, self.workload.planned
        source_tokens = sum(map(len, self._sources()))
        rows = self.task.search.beam_size * turn.num_tokens
        facts: dict[str, Any] = {
            "sentences": len(targets),
            "output_tokens": turn.num_tokens,
        }
        if turn.texts is None:
            facts["operations"] = operations(self.worker.spec.model.config, source_tokens, rows)
        if planned is not None:
            hits = [len(t) + 1 == n for t, n in zip(targets, planned, strict=False)]
            facts["planned_lengths"] = sum(hits) / len(hits)
        if self.score is not None:
            facts |= self.score(self.task.search, turn)
        return facts

    def _sources(self) -> Sequence[TokenIds]:
        """Those of a round."""
        return self.workload.sources[: int(self.size)]


@dataclass(kw_only=True)
class _OnlineJob(Job):
    rate: float
    """Arrivals a second."""
    seed: str

    def __post_init__(self) -> None:
        self.cost = 1.0
        self.size = self.options.seconds

    def prepare(self, seconds: float) -> Setup:
        """A trial run."""
        trial = min(_TRIAL * self.options.seconds, seconds / _WAYS)
        sources, arrivals = self._work("trial", trial)
        setup = self.worker.prepare(self.task, sources, arrivals)
        return {"requests_per_second": self.rate, **setup}

    def run(self, number: int) -> dict[str, float]:
        sources, arrivals = self._work(str(number), self.size)
        latencies = self.worker.serve(self.task, sources, arrivals)
        begin = _UNSETTLED * self.size
        settled = [
            latency
            for latency, arrival in zip(latencies, arrivals, strict=True)
            if arrival >= begin
        ] or latencies
        self.facts = self.facts or {"sentences": len(settled)}
        return {
            f"p{100 * share:.0f}_ms": 1e3 * _percentile(settled, share)
            for share in (0.50, 0.95, 0.99)
        }

    def _work(self, name: str, seconds: float) -> tuple[list[TokenIds], list[float]]:
        """Sources, and the times at which they arrive."""
        arrivals = poisson_arrivals(self.rate, seconds, seed=f"{self.seed}/{name}")
        return list(islice(cycle(self.workload.sources), len(arrivals))), arrivals


def _percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed (nearest rank)."""
    return float(np.quantile(values, share, method="inverted_cdf"))
