"""The contenders of a benchmark, each in its process, one at a time at work."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from loadtests.bench.errors import BenchError
from loadtests.bench.machine import Memory
from loadtests.bench.worker import Worker

__all__ = ["Field"]


class Field(AbstractContextManager["Field"]):
    """The workers of a benchmark, from start to end.

    Args:
        workers: belong to the field from the moment they are started.

    Raises:
        BenchError: one could not start, or two do not have the same weights.
    """

    def __init__(self, workers: Iterable[Worker]) -> None:
        self.workers: list[Worker] = []
        self._idle_seconds: defaultdict[str, float] = defaultdict(float)
        self._idle_cpu_seconds: defaultdict[str, float] = defaultdict(float)
        try:
            for worker in workers:
                self.workers.append(worker)
            self.weights_digest, *others = {worker.wait_until_ready() for worker in self.workers}
            if others:
                raise BenchError("all contenders must have the same weights, but have not")
        except BaseException:
            self.close(at_once=True)
            raise

    @contextmanager
    def turn(self, worker: Worker) -> Iterator[None]:
        """Watches that the others rest."""
        others = [other for other in self.workers if other is not worker]
        before = [other.cpu_seconds() for other in others]
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        for other, cpu_before in zip(others, before, strict=True):
            self._idle_seconds[other.spec.label] += elapsed
            self._idle_cpu_seconds[other.spec.label] += other.cpu_seconds() - cpu_before

    def idle_cpu(self) -> dict[str, float]:
        """CPUs that each contender kept busy while others had their turn: should be 0."""
        return {
            label: self._idle_cpu_seconds[label] / seconds
            for label, seconds in self._idle_seconds.items()
        }

    def memory(self) -> dict[str, Memory]:
        """The memory of each contender's process, by label."""
        return {worker.spec.label: worker.memory() for worker in self.workers}

    def exclude(self, worker: Worker) -> None:
        """Ends a contender's process, whatever it is at, and goes on without it."""
        self.workers.remove(worker)
        worker.close(at_once=True)

    def close(self, *, at_once: bool = False) -> None:
        """Ends all processes."""
        for worker in self.workers:
            worker.close(at_once=at_once)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(at_once=kind is not None)
