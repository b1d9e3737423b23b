"""A replica that hosts models: one engine for each that is loaded.

What a Ray Serve deployment runs, and a single process beside its gateway: Ray is imported only
where there is a hub to report to. Imported wherever the application is built or called; only the
replica imports NumPy, and torch where an engine is not the native one.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from model.config import EngineConfig, Priority
from model.engine.cpus import granted_cpus
from model.errors import QueueFullError
from service.autoscaling.decision import LoadMeter, ReplicaLoad
from service.hosting.calls_together import CallsTogether
from service.hosting.model_pool import ModelPool, model_of, summed
from service.observability.logs import configure_logging
from service.observability.metrics import TranslatorMetrics
from service.observability.snapshot import Snapshot
from service.observability.tracing import trace_phases
from service.protocol import (
    CallOutcome,
    HostedModel,
    LoadedModel,
    ModelInfo,
    TranslateCall,
    TranslateReply,
)
from service.settings import LogLevel

if TYPE_CHECKING:
    from model.engine.batch_trace import BatchRecord
    from model.engine.engine import EngineStats
    from model.segment_cache import SegmentCache
    from model.translation import TextDelta, Translation
    from model.translator import Translator
    from service.observability.hub import HubClient

__all__ = ["TranslatorReplica"]

_COLLECT_AFTER_OBJECTS = 10_000
"""Threshold of Python's garbage collector, instead of 700: the segments of one text are more."""


class TranslatorReplica:
    """A replica with models; concurrent calls for one of them share its engine's batches.

    With a `memory_budget` it is a shared replica: it loads what it is asked for, and drops what has
    not been asked for the longest. Without one it has the models it starts with, and no others.

    Args:
        models: loaded at the start, and kept.
        engine: how the engine of each model is run.
        memory_budget: bytes that models may take which are loaded on demand.
        load_seconds: time in which a model must be loaded on demand.
        max_model_calls: calls for one model in work at a time; one more is refused.
        max_batch_calls: calls of priority "batch" in work at a time; one more is refused.
        cache_bytes: that results of segments may take which may come again; 0 keeps none.
        log_level: for the replica's JSON log on stderr; None where the process has its own already.
        reports: whether it runs in Serve and pushes its metrics to a hub.
        hub: the application whose hub that is; None is its own.

    Raises:
        CheckpointError: one of the models cannot be used.
    """

    def __init__(
        self,
        models: tuple[HostedModel, ...],
        engine: EngineConfig,
        *,
        memory_budget: int | None = None,
        load_seconds: float = 120.0,
        max_model_calls: int | None = None,
        max_batch_calls: int = 256,
        cache_bytes: int = 0,
        log_level: LogLevel | None = None,
        reports: bool = False,
        hub: str | None = None,
    ) -> None:
        if log_level is not None:
            # Not sys.stderr, which Serve may have wrapped.
            configure_logging(log_level, sys.__stderr__)
        if engine.num_threads is not None:
            engine = replace(engine, num_threads=min(engine.num_threads, granted_cpus()))
        self._max_batch_calls = max_batch_calls
        self._num_batch_calls = 0
        self._max_model_calls = max_model_calls
        self._num_model_calls: Counter[str] = Counter()
        self._metrics = TranslatorMetrics(memory_budget)
        self._meters = LoadMeters()
        self._together = CallsTogether(self.translate)
        self._hub: HubClient | None = None
        self._cache = _segment_cache(cache_bytes)
        self._pool = ModelPool(
            engine, self._metrics, cache=self._cache, memory_budget=memory_budget,
            load_seconds=load_seconds,
        )  # fmt: skip
        for model in models:
            self._pool.pin(model)
        if reports:
            from service.observability.hub import HubClient

            self._hub = HubClient.of_this_replica(self.snapshot, application=hub, traces=self._pool)
            self._hub.start()
            # Else every full collection would walk through the loaded model and stop the engine.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_COLLECT_AFTER_OBJECTS)

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """Translates the call's texts; a cancelled call frees its slots within one engine step.

        Raises:
            ModelNotLoadedError: the model cannot be loaded, or is none of this replica's.
            UnsupportedLanguageError: the model does not translate the pair.
            QueueFullError: as many calls for the model, or of priority "batch", are in work as may.
            RequestFailedError, InvalidRequestError, EngineDeadError: as `Translator` raises them.
        """
        deadline = _deadline(call)
        async with self._translator(call, deadline) as translator:
            if call.max_attention_numbers is not None:
                return await self._attention(translator, call, deadline)
            if call.max_search_candidates is not None:
                return await self._search(translator, call, deadline)
            translations = await translator.translate_async(
                call.texts, **_arguments(call), deadline=deadline
            )
        return self._reply(call, translations)

    async def translate_together(
        self, batch: str, calls: tuple[TranslateCall, ...]
    ) -> AsyncGenerator[tuple[CallOutcome, ...]]:
        """Translates the texts of several calls as `translate` does each; see `CallsTogether`."""
        async with aclosing(self._together.outcomes(batch, calls)) as outcomes:
            async for ended in outcomes:
                yield ended

    async def give_up(self, batch: str, number: int) -> None:
        """Cancels one call of a batch."""
        self._together.give_up(batch, number)

    async def stream(
        self, call: TranslateCall
    ) -> AsyncGenerator[tuple[TextDelta, ...] | TranslateReply]:
        """Translates the call's texts, and tells what is decided of them meanwhile.

        Yields:
            Deltas as in `Progress`, and at last the reply.

        Raises:
            PolyheadError: as `translate`.
        """
        deadline = _deadline(call)
        translations: list[Translation] = []
        async with self._translator(call, deadline) as translator:
            progress = translator.stream_async(call.texts, **_arguments(call), deadline=deadline)
            async with aclosing(progress):
                async for each in progress:
                    translations += each.done
                    if each.deltas:
                        yield each.deltas
        yield self._reply(call, translations)

    @asynccontextmanager
    async def _translator(
        self, call: TranslateCall, deadline: float | None
    ) -> AsyncIterator[Translator]:
        """The model of a call, which has a place in work meanwhile."""
        with self._place_of(call.model.id), self._place(call.priority):
            async with self._pool.use(call.model, deadline) as translator:
                yield translator

    def _reply(self, call: TranslateCall, translations: list[Translation]) -> TranslateReply:
        self._metrics.of(call.model.id).observe_translations(translations)
        trace_phases(translations)
        return TranslateReply(model=call.model.id, translations=tuple(translations))

    async def _attention(
        self, translator: Translator, call: TranslateCall, deadline: float | None
    ) -> TranslateReply:
        """The reply to a call for the attention of a sentence."""
        attention = await translator.attention_async(
            call.texts[0],
            most_numbers=call.max_attention_numbers or 0,
            source=call.source,
            target=call.target,
            deadline=deadline,
            priority=call.priority,
        )
        self._metrics.of(call.model.id).observe_translations([attention.translation])
        return TranslateReply(
            model=call.model.id, translations=(attention.translation,), attention=attention
        )

    async def _search(
        self, translator: Translator, call: TranslateCall, deadline: float | None
    ) -> TranslateReply:
        """The reply to a call for the search for a sentence."""
        search = await translator.search_async(
            call.texts[0],
            most_candidates=call.max_search_candidates or 0,
            source=call.source,
            target=call.target,
            generation=call.generation,
            deadline=deadline,
            priority=call.priority,
        )
        self._metrics.of(call.model.id).observe_translations([search.translation])
        return TranslateReply(
            model=call.model.id, translations=(search.translation,), search=search
        )

    @contextmanager
    def _place_of(self, name: str) -> Iterator[None]:
        """Calls for one model may take some of the places, where there are other models."""
        most = self._max_model_calls
        if most is not None and self._num_model_calls[name] >= most:
            raise QueueFullError(
                f"at most {most} calls for {name} may be in work here, and as many are"
            )
        self._num_model_calls[name] += 1
        try:
            yield
        finally:
            self._num_model_calls[name] -= 1
            if not self._num_model_calls[name]:
                del self._num_model_calls[name]

    @contextmanager
    def _place(self, priority: Priority) -> Iterator[None]:
        """Batch calls may take some of the places for calls that Serve has here, not all."""
        if priority is not Priority.BATCH:
            yield
            return
        if self._num_batch_calls >= self._max_batch_calls:
            raise QueueFullError(
                f"at most {self._max_batch_calls} batch calls may be in work, and as many are"
            )
        self._num_batch_calls += 1
        try:
            yield
        finally:
            self._num_batch_calls -= 1

    async def info(self, model: HostedModel) -> ModelInfo:
        """What clients are told of a model, which is loaded for it if need be.

        Raises:
            EngineDeadError: as `check_health` does.
            ModelNotLoadedError: as `translate` does.
        """
        await self.check_health()
        async with self._pool.use(model) as translator:
            return ModelInfo(
                name=model.id,
                languages=translator.languages,
                device=translator.device,
                dtype=translator.dtype,
                num_parameters=translator.num_parameters,
                max_source_tokens=translator.max_source_tokens,
                generation=translator.generation,
            )

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The models that are in memory, those asked for last at the end."""
        return self._pool.loaded()

    async def retain(self, keys: frozenset[str]) -> None:
        """Lets go of all models but these, which the catalog has, and of their metrics."""
        self._pool.retain(keys)
        self._metrics.keep_models({model_of(key) for key in keys})

    async def check_health(self) -> None:
        """Serve's health check; Serve replaces a replica that raises.

        A model that is loaded on demand does not make it ill: it is loaded anew.

        Raises:
            EngineDeadError: the loop of the engine of a model has ended with which it started, or
                the GPU is lost.
        """
        self._pool.check_health()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """The load, which Serve hands to `service.autoscaling.policy` in its controller."""
        return asdict(self._meters.observe(self._pool.stats())[0])

    def snapshot(self) -> Snapshot:
        """The metrics of now. On any thread, but one at a time."""
        for name, steps in self._pool.drain_steps():
            self._metrics.of(name).observe_steps(steps)
        stats = self._pool.stats()
        _, loads = self._meters.observe(stats)
        for name, load in loads.items():
            self._metrics.of(name).set_engine(stats[name])
            self._metrics.of(name).set_load(load)
        self._metrics.set_loaded(self._pool.loaded())
        if self._cache is not None:
            self._metrics.set_cache(self._cache.size_bytes)
            for name, counts in self._cache.take_counts().items():
                self._metrics.of(name).count_cached(counts)
        return self._metrics.snapshot()

    def trace(self, on: bool) -> None:
        """Whether engines take note of what happens in their batches. On any thread."""
        self._pool.trace(on)

    def take_traces(self) -> list[tuple[str, BatchRecord]]:
        """What has happened in the batches since the last call, with the ids of the models. On any
        thread."""
        return self._pool.take_traces()

    def close(self) -> None:
        """Pushes the last metrics and ends the engines. Idempotent."""
        if self._hub is not None:
            self._hub.close()
        self._pool.close()

    def __del__(self) -> None:
        # Serve calls this at the end of a graceful shutdown, also after a failed __init__.
        if hasattr(self, "_pool"):
            self.close()


def _segment_cache(size: int) -> SegmentCache | None:
    """A cache of so many bytes; None for 0."""
    if not size:
        return None
    from model.segment_cache import SegmentCache

    return SegmentCache(size)


def _deadline(call: TranslateCall) -> float | None:
    seconds = call.timeout_seconds
    return None if seconds is None else time.monotonic() + seconds


def _arguments(call: TranslateCall) -> dict[str, Any]:
    """How a translator is to do what is asked."""
    return {
        "source": call.source,
        "target": call.target,
        "generation": call.generation,
        "priority": call.priority,
        "return_alignments": call.return_alignments,
        "text_options": call.text_options,
        "use_cache": call.use_cache,
    }


class LoadMeters:
    """The load of a replica, and of each of its models. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # called on the event loop and on the metrics thread
        self._of_all = LoadMeter()
        self._of_models: dict[str, LoadMeter] = {}

    def observe(
        self, stats: Mapping[str, EngineStats]
    ) -> tuple[ReplicaLoad, dict[str, ReplicaLoad]]:
        """The load of the replica, and by the ids of its models.

        A replica is as full as its fullest model: the others' slots are of no use to that one.
        """
        now = time.monotonic()
        with self._lock:
            self._of_models = {name: self._of_models.get(name) or LoadMeter() for name in stats}
            shares = {name: _slots_share(each) for name, each in stats.items()}
            loads = {
                name: _observe(self._of_models[name], now, each, shares[name])
                for name, each in stats.items()
            }
            share = max(shares.values(), default=0.0)
            return _observe(self._of_all, now, summed([*stats.values()]), share), loads


def _observe(meter: LoadMeter, now: float, stats: EngineStats, share: float) -> ReplicaLoad:
    return meter.observe(
        now,
        waiting_tokens=stats.waiting_source_tokens,
        running_tokens=stats.running_source_tokens,
        submitted_tokens=stats.submitted_source_tokens,
        admitted_tokens=stats.admitted_source_tokens,
        waiting_since=stats.waiting_since,
        slots_share=share,
    )


def _slots_share(stats: EngineStats) -> float:
    return stats.slots_used / max(1, stats.max_slots)
