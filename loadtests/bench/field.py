"""The contenders of one regime, each in its process, one at a time at work."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from loadtests.bench.contender import ContenderSpec, Peer, Regime, Search, Setup, TokenIds
from loadtests.bench.errors import BenchError
from loadtests.bench.figures import Spread
from loadtests.bench.machine import Memory
from loadtests.bench.worker import Worker

__all__ = ["Field", "Measurement", "portion"]

_LEAST_PORTION = 64


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
    """Of one round."""
    output_tokens: int | None = None
    """Of the first round, end tokens included."""
    planned_lengths: float | None = None
    """Share of targets exactly as long as was planned."""
    bleu: float | None = None


class Field:
    """Starts a worker for each contender, and ends them all.

    Raises:
        BenchError: one could not start, or two do not have the same weights.
    """

    def __init__(self, specs: Iterable[ContenderSpec], *, weights_digest: str | None) -> None:
        self.workers: list[Worker] = []
        self._idle_seconds: dict[str, float] = {}
        self._idle_cpu_seconds: dict[str, float] = {}
        try:
            for spec in specs:
                self.workers.append(Worker(spec))
            found = {worker.wait_until_ready() for worker in self.workers} | {weights_digest}
            self.weights_digest, *others = [digest for digest in found if digest is not None]
            if others:
                raise BenchError("all contenders must have the same weights, but have not")
        except BaseException:
            self.close(at_once=True)
            raise

    def __getitem__(self, label: str) -> Worker:
        """The contender with this label."""
        return next(worker for worker in self.workers if worker.spec.label == label)

    @contextmanager
    def turn(self, worker: Worker) -> Iterator[None]:
        """Watches that the others rest."""
        others = [other for other in self.workers if other is not worker]
        before = [other.cpu_seconds() for other in others]
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        for other, cpu_before in zip(others, before, strict=True):
            label = other.spec.label
            used = other.cpu_seconds() - cpu_before
            self._idle_seconds[label] = self._idle_seconds.get(label, 0.0) + elapsed
            self._idle_cpu_seconds[label] = self._idle_cpu_seconds.get(label, 0.0) + used

    def idle_cpu(self) -> dict[str, float]:
        """CPUs that each contender kept busy while others had their turn: should be 0."""
        return {
            label: self._idle_cpu_seconds[label] / seconds
            for label, seconds in self._idle_seconds.items()
        }

    def memory(self) -> dict[str, Memory]:
        """Of each contender's process."""
        return {worker.spec.label: worker.memory() for worker in self.workers}

    def exclude(self, worker: Worker) -> None:
        """Ends a contender's process, whatever it is at, and goes on without it."""
        self.workers.remove(worker)
        worker.close(at_once=True)

    def close(self, *, at_once: bool = False) -> None:
        """Ends all processes."""
        for worker in self.workers:
            worker.close(at_once=at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(at_once=kind is not None)


def portion(spec: ContenderSpec, sources: Sequence[TokenIds]) -> Sequence[TokenIds]:
    """What a contender translates when everything is queued: a rate needs fewer of the slow one."""
    if spec.name != Peer.TRANSFORMERS:
        return sources
    return sources[: max(_LEAST_PORTION, len(sources) // 4)]
