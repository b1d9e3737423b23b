"""CTranslate2, set up as well as we know how.

Its beam search divides by length ** 0.6 where ours divides by ((5 + length) / 6) ** 0.6, and ends a
sentence when four hypotheses have ended, where ours may end sooner, once none can become better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import ctranslate2  # type: ignore[import-untyped]
import numpy as np

from loadtests.bench.contender import (
    BATCH_SIZE,
    LENGTH_PENALTY,
    Contender,
    ContenderSpec,
    Regime,
    Setup,
    Task,
    TokenIds,
    serve_in_batches,
)

__all__ = ["CTranslate2Contender", "Threads", "candidates"]

_WARM_UP = 32


@dataclass(frozen=True, kw_only=True)
class Threads:
    """One way to run it; names are CTranslate2's."""

    inter_threads: int
    intra_threads: int
    max_batch_size: int
    batch_type: str = "examples"


def candidates(regime: Regime, num_cores: int, device: str) -> list[Threads]:
    """Ways that may be the fastest one."""
    together = Threads(inter_threads=1, intra_threads=num_cores, max_batch_size=BATCH_SIZE)
    if regime is Regime.LATENCY:
        alone = replace(together, intra_threads=1)
        return [together] if num_cores == 1 or device == "cuda" else [together, alone]
    if device == "cuda":
        sizes = (BATCH_SIZE, 4 * BATCH_SIZE, 16 * BATCH_SIZE)
        return [replace(together, max_batch_size=size) for size in sizes]
    apart = Threads(inter_threads=num_cores, intra_threads=1, max_batch_size=BATCH_SIZE)
    ways = [apart, replace(apart, max_batch_size=BATCH_SIZE // 4)]
    if regime is Regime.LENGTH:
        return [together, replace(apart, max_batch_size=BATCH_SIZE // 4 // num_cores)]
    if regime is Regime.THROUGHPUT:
        ways += [replace(apart, max_batch_size=size) for size in (BATCH_SIZE // 2, 2 * BATCH_SIZE)]
        ways.append(replace(apart, max_batch_size=32 * BATCH_SIZE, batch_type="tokens"))
    return ways if num_cores == 1 else [*ways, together]


class CTranslate2Contender(Contender):
    """Keeps the fastest of `candidates` for each task."""

    def __init__(self, spec: ContenderSpec) -> None:
        self._spec = spec
        self._chosen: dict[Task, Threads] = {}
        self._translator: Any = None
        self._running: tuple[int, int] | None = None

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """Does the sample in every way; the shortest time wins, or the smallest p95 of arrivals."""
        costs: dict[Threads, float] = {}
        for way in candidates(task.regime, len(self._spec.cores), self._spec.device):
            self._warm_up(way, task, sample)
            if task.regime is Regime.ONLINE:
                costs[way] = float(
                    np.quantile(self.serve(task, sample, arrivals), 0.95, method="inverted_cdf")
                )
            else:
                costs[way] = sum(self.timed(task, sample).seconds)
        best = min(costs, key=costs.__getitem__)
        self._warm_up(best, task, sample)
        return asdict(best)

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """One call: it sorts by length and makes batches itself; unprepared, in the first way."""
        first, *_ = candidates(task.regime, len(self._spec.cores), self._spec.device)
        way = self._chosen.get(task._replace(limit=None), first)
        return self._translate(way, task, _as_tokens(sources))

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """Each of its workers takes everything that waits, up to its batch size."""
        way = self._chosen[task]
        self._run(way)
        tokens = _as_tokens(sources)
        return serve_in_batches(
            lambda batch: self._translate(way, task, [tokens[index] for index in batch]),
            arrivals,
            num_workers=way.inter_threads,
            most=way.max_batch_size,
        )

    def _warm_up(self, way: Threads, task: Task, sample: Sequence[TokenIds]) -> None:
        """Chooses a way for a task."""
        self._chosen[task._replace(limit=None)] = way
        self.translate(task, sample[: min(_WARM_UP, 1 + len(sample) // 4)])

    def _run(self, way: Threads) -> None:
        """Starts its threads, unless they run already."""
        if self._running == (way.inter_threads, way.intra_threads):
            return
        self._translator = None  # the memory of one model at a time
        self._translator = ctranslate2.Translator(
            str(self._spec.converted),
            device=self._spec.device,
            compute_type=self._spec.dtype,
            inter_threads=way.inter_threads,
            intra_threads=way.intra_threads,
        )
        self._running = way.inter_threads, way.intra_threads

    def _translate(self, way: Threads, task: Task, sources: list[list[str]]) -> list[list[int]]:
        self._run(way)
        results = self._translator.translate_batch(
            sources,
            max_batch_size=way.max_batch_size,
            batch_type=way.batch_type,
            beam_size=task.search.beam_size,
            length_penalty=LENGTH_PENALTY,
            max_decoding_length=task.limit or self._spec.max_new_tokens,
            min_decoding_length=0,
            return_scores=False,
        )
        return [[int(token) for token in result.hypotheses[0]] for result in results]


def _as_tokens(sources: Sequence[TokenIds]) -> list[list[str]]:
    return [[str(token) for token in source] for source in sources]
