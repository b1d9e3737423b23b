"""This project's engine, on token ids."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from loadtests.bench.arrivals import submit_on_time
from loadtests.bench.contender import (
    LENGTH_PENALTY,
    ContenderSpec,
    Regime,
    Search,
    Setup,
    TokenIds,
)
from model.config import EngineConfig, GenerationConfig
from model.engine.engine import Engine
from model.engine.sequence import SequenceResult
from model.network.transformer import Transformer

__all__ = ["PolyheadContender"]

_WARM_UP = 32
_MAX_WAITING = 1_000_000
"""Everything is queued at once; a service would refuse some of it."""


class PolyheadContender:
    """One engine for everything, with its own defaults."""

    def __init__(self, spec: ContenderSpec, model: Transformer) -> None:
        self._limit = spec.max_new_tokens
        self._engine = Engine(
            model,
            EngineConfig(
                device=spec.device,
                dtype=spec.dtype,
                num_threads=len(spec.cores),
                max_waiting=_MAX_WAITING,
            ),
        )
        # As a replica does.
        gc.collect()
        gc.freeze()

    def prepare(self, regime: Regime, search: Search, sample: Sequence[TokenIds]) -> Setup:
        """There is nothing to choose."""
        self.translate(regime, search, sample[:_WARM_UP])
        num_threads = self._engine.config.num_threads or 0
        return {"num_threads": num_threads, "max_slots": self._engine.stats().max_slots}

    def prepare_online(
        self, search: Search, load: str, sample: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> Setup:
        """There is nothing to choose here either."""
        return self.prepare(Regime.ONLINE, search, sample)

    def translate(
        self, regime: Regime, search: Search, sources: Sequence[TokenIds]
    ) -> list[list[int]]:
        """All are submitted at once."""
        futures = self._engine.submit(sources, self._generation(search))
        return [list(future.result().hypotheses[0].token_ids) for future in futures]

    def serve(
        self, search: Search, load: str, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """Each is submitted when it arrives, and joins the running batch."""
        generation = self._generation(search)
        finished = [0.0] * len(sources)
        futures: list[Future[SequenceResult]] = []

        def finish(index: int, _: Future[SequenceResult]) -> None:
            finished[index] = time.perf_counter()

        def submit(index: int) -> None:
            [future] = self._engine.submit([sources[index]], generation)
            future.add_done_callback(partial(finish, index))
            futures.append(future)

        start = submit_on_time(arrivals, submit)
        for future in futures:
            future.result()
        return [end - start - arrival for end, arrival in zip(finished, arrivals, strict=True)]

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()

    def _generation(self, search: Search) -> GenerationConfig:
        return GenerationConfig(
            beam_size=search.beam_size,
            length_penalty=LENGTH_PENALTY,
            max_new_tokens=self._limit,
        )
