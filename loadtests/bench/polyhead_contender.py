"""This project's engine, on token ids."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial

from loadtests.bench.contender import (
    LENGTH_PENALTY,
    Contender,
    ContenderSpec,
    Search,
    Setup,
    Task,
    TokenIds,
    submit_on_time,
)
from model.config import EngineConfig, GenerationConfig
from model.engine.engine import Engine
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.network.transformer import Transformer

__all__ = ["PolyheadContender", "generation"]

_WARM_UP = 32
_MAX_WAITING = 1_000_000
"""Everything is queued at once; a service would refuse some of it."""


def generation(
    search: Search, max_new_tokens: int | None = None, *, limit_repeats: bool = False
) -> GenerationConfig:
    """The searches that are measured, with the embedded models' repetition guard or without."""
    return GenerationConfig(
        beam_size=search.beam_size,
        length_penalty=LENGTH_PENALTY,
        max_new_tokens=max_new_tokens,
        limit_repeats=limit_repeats,
    )


class PolyheadContender(Contender):
    """One engine for everything, with its own defaults."""

    def __init__(self, spec: ContenderSpec, model: Transformer) -> None:
        self._limit = spec.max_new_tokens
        self._limit_repeats = spec.limit_repeats
        config = EngineConfig(
            device=spec.device,
            dtype=spec.dtype,
            num_threads=len(spec.cores),
            max_waiting=_MAX_WAITING,
        )
        # As a service has its own search, and greedy beside it, prepared when it loads a model.
        self._engine = Engine(model, config, searches=[self._generation(each) for each in Search])

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """There is nothing to choose."""
        self.translate(task, sample[:_WARM_UP])
        num_threads = self._engine.config.num_threads or 0
        return {"num_threads": num_threads, "max_slots": self._engine.stats().max_slots}

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """All are submitted at once."""
        futures = self._engine.submit(sources, self._generation(task.search, task.limit))
        return [list(future.result().hypotheses[0].token_ids) for future in futures]

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """Each is submitted when it arrives, and joins the running batch."""
        config = self._generation(task.search)
        finished = [0.0] * len(sources)
        futures: list[ResultFuture[SequenceResult]] = []
        told = threading.Semaphore(0)

        def finish(index: int, _: ResultFuture[SequenceResult]) -> None:
            finished[index] = time.perf_counter()
            told.release()

        def submit(index: int) -> None:
            [future] = self._engine.submit([sources[index]], config)
            future.add_done_callback(partial(finish, index))
            futures.append(future)

        start = submit_on_time(arrivals, submit)
        for future in futures:
            future.result()
            told.acquire()  # it has a result before it calls back
        return [end - start - arrival for end, arrival in zip(finished, arrivals, strict=True)]

    def _generation(self, search: Search, limit: int | None = None) -> GenerationConfig:
        return generation(search, limit or self._limit, limit_repeats=self._limit_repeats)

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()
