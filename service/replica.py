"""The Ray Serve deployment that hosts a Translator: one engine per replica.

Imported wherever the application is built or called; only the replica imports NumPy, and torch
where its engine is not the native one.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from model.checkpoints.embedded import model_directory
from model.config import EngineConfig, Priority
from model.engine.cpus import granted_cpus
from model.errors import EngineDeadError, QueueFullError
from service.autoscaling.decision import LoadMeter, ReplicaLoad
from service.observability.hub import HubClient
from service.observability.logs import configure_logging
from service.observability.metrics import TranslatorMetrics
from service.observability.snapshot import Snapshot, take_snapshot
from service.observability.tracing import trace_phases
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.settings import LogLevel

__all__ = ["TranslatorReplica"]

LOGGER = logging.getLogger("polyhead.translator")


class TranslatorReplica:
    """A Serve replica with one model; concurrent calls share its engine's batches.

    Args:
        directory: the model directory, on the replica's own machine, or an embedded model's name.
        engine: how the engine is run.
        max_batch_calls: calls of priority "batch" in work at a time; one more is refused.
        log_level: for the replica's JSON log on stderr.
        reports: whether it runs in Serve and pushes its metrics to the hub.

    Raises:
        CheckpointError: the model cannot be used.
    """

    def __init__(
        self,
        directory: str,
        engine: EngineConfig,
        *,
        max_batch_calls: int = 256,
        log_level: LogLevel = LogLevel.INFO,
        reports: bool = False,
    ) -> None:
        # Not sys.stderr, which Serve may have wrapped.
        configure_logging(log_level, sys.__stderr__)
        from model.engine.warm_up import warm_up
        from model.translator import Translator

        if engine.num_threads is not None:
            engine = replace(engine, num_threads=min(engine.num_threads, granted_cpus()))
        self._translator = Translator.load(model_directory(directory), engine)
        warm_up(self._translator.engine)
        for note in self._translator.engine.notes:
            LOGGER.warning(note)
        self._max_batch_calls = max_batch_calls
        self._num_batch_calls = 0
        self._metrics = TranslatorMetrics(self._translator.name)
        self._meter = LoadMeter()
        self._meter_lock = threading.Lock()
        self._hub: HubClient | None = None
        if reports:
            self._hub = HubClient.of_this_replica(self._take_snapshot)
            self._hub.start()
            # Else every full collection would walk through the loaded model and stop the engine.
            gc.collect()
            gc.freeze()

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """Translates the call's texts; a cancelled call frees its slots within one engine step.

        Raises:
            UnsupportedLanguageError: this model does not translate the pair.
            QueueFullError: as many calls of priority "batch" are in work as may.
            RequestFailedError, InvalidRequestError, EngineDeadError: as `Translator` raises them.
        """
        deadline = None
        if call.timeout_seconds is not None:
            deadline = time.monotonic() + call.timeout_seconds
        with self._place(call.priority):
            translations = await self._translator.translate_async(
                call.texts,
                source=call.source,
                target=call.target,
                generation=call.generation,
                deadline=deadline,
                priority=call.priority,
                return_alignments=call.return_alignments,
            )
        self._metrics.observe_translations(translations)
        trace_phases(translations)
        return TranslateReply(model=self._translator.name, translations=tuple(translations))

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

    async def info(self) -> ModelInfo:
        """The model of this replica.

        Raises:
            EngineDeadError: as `check_health` does.
        """
        await self.check_health()
        translator = self._translator
        return ModelInfo(
            name=translator.name,
            languages=translator.languages,
            device=translator.device,
            dtype=translator.dtype,
            num_parameters=translator.num_parameters,
            max_source_tokens=translator.max_source_tokens,
            generation=translator.generation,
        )

    async def check_health(self) -> None:
        """Serve's health check; Serve replaces a replica that raises.

        Raises:
            EngineDeadError: the engine's loop has ended.
        """
        if not self._translator.engine.alive:
            raise EngineDeadError(f"the engine of {self._translator.name} has stopped")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """The load, which Serve hands to `service.autoscaling.policy` in its controller."""
        return asdict(self._load())

    def close(self) -> None:
        """Pushes the last metrics and ends the engine. Idempotent."""
        if self._hub is not None:
            self._hub.close()
        self._translator.close()

    def __del__(self) -> None:
        # Serve calls this at the end of a graceful shutdown, also after a failed __init__.
        if hasattr(self, "_metrics"):
            self.close()

    def _take_snapshot(self) -> Snapshot:
        self._metrics.observe_steps(self._translator.engine.drain_steps())
        self._metrics.set_engine(self._translator.engine.stats())
        self._metrics.set_load(self._load())
        return take_snapshot(self._metrics.registry)

    def _load(self) -> ReplicaLoad:
        stats = self._translator.engine.stats()
        with self._meter_lock:  # called on the event loop and on the metrics thread
            return self._meter.observe(
                time.monotonic(),
                waiting_tokens=stats.waiting_source_tokens,
                running_tokens=stats.running_source_tokens,
                submitted_tokens=stats.submitted_source_tokens,
                admitted_tokens=stats.admitted_source_tokens,
                waiting_since=stats.waiting_since,
                slots_share=stats.slots_used / stats.max_slots,
            )
