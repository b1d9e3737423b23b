"""Contenders that take the time they are told to, in no process and in no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loadtests.bench.contender import Regime, Search, Setup, TokenIds
from loadtests.bench.worker import Translated

__all__ = ["FakeField", "FakeWorker"]


@dataclass
class FakeSpec:
    label: str

    @property
    def name(self) -> str:
        return self.label.split("-")[0]


@dataclass
class FakeWorker:
    """Echoes each source without its end token, in `seconds` a sentence."""

    label: str
    seconds: float
    log: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def spec(self) -> FakeSpec:
        return FakeSpec(self.label)

    def prepare(self, regime: Regime, search: Search, sample: Sequence[TokenIds]) -> Setup:
        self.log.append((self.label, "prepare", regime, search, len(sample)))
        return {"way": "only"}

    def prepare_online(
        self, search: Search, load: str, sample: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> Setup:
        assert len(sample) == len(arrivals)
        self.log.append((self.label, "prepare_online", search, load))
        return {"way": "online"}

    def translate(
        self, regime: Regime, search: Search, sources: Sequence[TokenIds], **options: Any
    ) -> Translated:
        self.log.append((self.label, "translate", regime, search, len(sources)))
        calls = len(sources) if regime is Regime.LATENCY else 1
        each = self.seconds * len(sources) / calls
        return Translated(seconds=(each,) * calls, targets=[list(s[:-1]) for s in sources])

    def serve(
        self, search: Search, load: str, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        self.log.append((self.label, "serve", search, load, tuple(arrivals)))
        return [self.seconds * (1 + index) for index in range(len(sources))]

    def close(self) -> None:
        self.log.append((self.label, "close"))


class FakeField:
    """All workers write into one log."""

    def __init__(self, *workers: FakeWorker) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.workers = list(workers)
        for worker in workers:
            worker.log = self.log

    def __getitem__(self, label: str) -> FakeWorker:
        return next(worker for worker in self.workers if worker.label == label)

    def exclude(self, worker: FakeWorker) -> None:
        self.workers.remove(worker)
        worker.close()

    @contextmanager
    def turn(self, worker: FakeWorker) -> Iterator[None]:
        yield
