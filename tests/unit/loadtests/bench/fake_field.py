"""Contenders that take the time they are told to, in no process and in no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loadtests.bench.contender import Regime, Setup, Task, TokenIds, Translated
from model.config import TransformerConfig
from tests.tiny_model import tiny_config

__all__ = ["FakeField", "FakeWorker"]


@dataclass
class FakeModel:
    config: TransformerConfig = field(default_factory=tiny_config)


@dataclass
class FakeSpec:
    label: str
    model: FakeModel = field(default_factory=FakeModel)

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

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        assert len(sample) == len(arrivals) or task.load is None
        self.log.append((self.label, "prepare", task, len(sample)))
        return {"way": "only"}

    def translate(self, task: Task, sources: Sequence[TokenIds], **options: Any) -> Translated:
        self.log.append((self.label, "translate", task, len(sources)))
        calls = len(sources) if task.regime is Regime.LATENCY else 1
        each = self.seconds * len(sources) / calls
        return Translated(seconds=(each,) * calls, targets=[list(s[:-1]) for s in sources])

    def memory(self) -> dict[str, int]:
        return {"peak_rss": 2**20}

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        self.log.append((self.label, "serve", task, tuple(arrivals)))
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

    def exclude(self, worker: FakeWorker) -> None:
        self.workers.remove(worker)
        worker.close()

    @contextmanager
    def turn(self, worker: FakeWorker) -> Iterator[None]:
        yield
