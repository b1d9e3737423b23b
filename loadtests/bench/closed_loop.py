"""Latency and throughput: the next call begins when the last one has ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from loadtests.bench.contender import Regime, Search, Setup, TokenIds
from loadtests.bench.field import Field, Measurement, portion
from loadtests.bench.figures import Spread, percentile
from loadtests.bench.options import BenchOptions
from loadtests.bench.worker import Translated, Worker
from loadtests.bench.workload import Workload

__all__ = ["Advance", "Score", "measure_closed_loop", "num_closed_turns"]

Advance = Callable[[str], None]
"""Told what has just been done, for people who wait."""

Score = Callable[[Sequence[Sequence[int]]], float]

_THROUGHPUT_SAMPLE = 256
_LATENCY_SAMPLE = 8
_Key = tuple[str, Search]


def num_closed_turns(field: Field, options: BenchOptions) -> int:
    """How often `measure_closed_loop` advances."""
    return len(field.workers) * len(options.searches) * (options.rounds + 1)


def measure_closed_loop(
    regime: Regime,
    field: Field,
    workload: Workload,
    options: BenchOptions,
    advance: Advance,
    score: Score | None = None,
) -> list[Measurement]:
    """Prepares everybody, then takes turns, round by round.

    Args:
        score: BLEU of targets against the references of as many first sources; None without any.
    """
    setups: dict[_Key, Setup] = {}
    for search in options.searches:
        for worker in field.workers:
            with field.turn(worker):
                sample = _sample(regime, workload.sources)
                setups[worker.spec.label, search] = worker.prepare(regime, search, sample)
            advance(f"{worker.spec.label}, {search}: prepared")
    turns: defaultdict[_Key, list[Translated]] = defaultdict(list)
    for number in range(options.rounds):
        for search in options.searches:
            for worker in field.workers:
                sources = _sources(regime, worker, workload, options)
                with field.turn(worker):
                    turn = worker.translate(regime, search, sources)
                turns[worker.spec.label, search].append(turn)
                advance(f"{worker.spec.label}, {search}: round {number + 1}")
    return [
        _measurement(regime, key, setups[key], translated, workload.planned, score)
        for key, translated in turns.items()
    ]


def _sample(regime: Regime, sources: Sequence[TokenIds]) -> Sequence[TokenIds]:
    """What set-ups are tried with: large batches need many sentences to show what they can."""
    if regime is Regime.LATENCY:
        return sources[:_LATENCY_SAMPLE]
    return sources[: max(_THROUGHPUT_SAMPLE, len(sources) // 2)]


def _sources(
    regime: Regime, worker: Worker, workload: Workload, options: BenchOptions
) -> Sequence[TokenIds]:
    if regime is Regime.LATENCY:
        return workload.sources[: options.latency_sentences]
    return portion(worker.spec, workload.sources)


def _measurement(
    regime: Regime,
    key: _Key,
    setup: Setup,
    turns: Sequence[Translated],
    planned: Sequence[int] | None,
    score: Score | None,
) -> Measurement:
    label, search = key
    targets = turns[0].targets
    figures = _latencies(turns) if regime is Regime.LATENCY else _rates(turns)
    return Measurement(
        contender=label,
        regime=regime,
        search=search,
        setup=setup,
        figures=figures,
        sentences=len(targets),
        output_tokens=turns[0].num_tokens,
        planned_lengths=None if planned is None else _share_planned(targets, planned),
        bleu=None if score is None else score(targets),
    )


def _rates(turns: Sequence[Translated]) -> dict[str, Spread]:
    return {
        "tokens_per_second": Spread.of([turn.num_tokens / sum(turn.seconds) for turn in turns]),
        "sentences_per_second": Spread.of(
            [len(turn.targets) / sum(turn.seconds) for turn in turns]
        ),
    }


def _latencies(turns: Sequence[Translated]) -> dict[str, Spread]:
    return {
        "mean_ms": Spread.of([1e3 * sum(turn.seconds) / len(turn.seconds) for turn in turns]),
        "p50_ms": Spread.of([1e3 * percentile(turn.seconds, 0.50) for turn in turns]),
        "p95_ms": Spread.of([1e3 * percentile(turn.seconds, 0.95) for turn in turns]),
        "per_token_ms": Spread.of([1e3 * sum(turn.seconds) / turn.num_tokens for turn in turns]),
    }


def _share_planned(targets: Sequence[Sequence[int]], planned: Sequence[int]) -> float:
    hits = [len(t) + 1 == length for t, length in zip(targets, planned, strict=False)]
    return sum(hits) / len(hits)
