"""The models that a replica holds: loaded when they are first asked for, within a memory budget."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from model.checkpoints.embedded import model_directory
from model.config import EngineConfig
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    ModelNotLoadedError,
    PolyheadError,
)
from model.heap import free_large_blocks_at_once, give_back_free_memory
from service.hosting.own_thread import start_thread
from service.observability.metrics import TranslatorMetrics
from service.protocol import HostedModel, LoadedModel

if TYPE_CHECKING:
    from model.engine.batch_trace import BatchRecord
    from model.engine.engine import EngineStats, StepStats
    from model.memory import ModelMemory
    from model.segment_cache import SegmentCache
    from model.translator import Translator

_T = TypeVar("_T")

__all__ = ["ModelPool", "memory_of", "model_of", "own_engine", "shared_engine", "summed"]

LOGGER = logging.getLogger("polyhead.translator")

_SHARED_SLOTS = 32
"""Slots of a thread, where many models share a process: half of the usual number, which is the
least that is as fast. A model takes their memory only while it works. With 16, a full batch of a
small model takes a quarter more CPU time."""
_RETRY_SECONDS = 5.0
"""After a failed load, until the next try."""
_DEPARTURES = 100
"""Evicted models whose last steps wait for the metrics."""
_MIB = 2**20


@dataclass(eq=False)
class _Entry:
    """A model that is loaded, or being loaded."""

    model: HostedModel
    pinned: bool = False
    engine: EngineConfig | None = None
    """As it is run."""
    memory: ModelMemory | None = None
    translator: Translator | None = None
    calls: int = 0
    """In work, or waiting for it to be ready."""
    reserved: int = 0
    """Bytes of the budget that are its own."""
    ready: bool = False
    """Whether calls may use it: it is loaded, and what it takes to work is reserved, too."""
    preparing: asyncio.Task[None] | None = None
    abandoned: bool = False
    """Whether its load has taken too long: its memory comes back when that ends."""
    error: PolyheadError | None = None

    @property
    def loaded_bytes(self) -> int:
        return 0 if self.memory is None else self.memory.loaded

    @property
    def dead(self) -> bool:
        """Whether its engine has stopped."""
        return self.translator is not None and not self.translator.engine.alive


class ModelPool:
    """Translators by model. Used on one event loop; what says so may be called on any thread.

    A model takes what `ModelMemory.loaded` says as long as it is loaded, and `working` more while
    there are calls for it; a second later its engine has given that back. Where the budget is used
    up, the idle models go first that have not been asked for the longest. Models are loaded one at
    a time, in the order in which they were asked for; one for which there is no room yet lets the
    others go first.

    Args:
        engine: how each model's engine is run, but for what the model itself says.
        metrics: take note of loads and evictions.
        cache: where results of segments are kept, of all models together; None keeps none.
        memory_budget: bytes that all models together may take; None is for those that are pinned,
            and no others.
        load_seconds: time in which a model must be loaded on demand.
    """

    def __init__(
        self,
        engine: EngineConfig,
        metrics: TranslatorMetrics,
        *,
        cache: SegmentCache | None = None,
        memory_budget: int | None = None,
        load_seconds: float = 120.0,
    ) -> None:
        self._engine = engine
        self._metrics = metrics
        self._cache = cache
        self._budget = memory_budget
        self._load_seconds = load_seconds
        if memory_budget is not None:
            free_large_blocks_at_once()
        self._reserved = 0
        self._entries: dict[str, _Entry] = {}
        """By key, those not asked for the longest first."""
        self._failures: dict[str, tuple[float, PolyheadError]] = {}
        """By key: until when there is no other try, and why."""
        self._hanging: set[str] = set()
        """Keys of the models whose load has taken too long, and goes on."""
        self._retained: frozenset[str] | None = None
        """Keys of the models that there are; None while that is not known."""
        self._one_at_a_time = asyncio.Lock()
        self._freed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._lost_gpu: str | None = None
        """The id of a model whose engine, or whose load, has lost the GPU."""
        # Below: guarded by the lock.
        self._lock = threading.Lock()
        self._translators: list[tuple[str, Translator]] = []
        """With the models' ids, those that run."""
        self._traced = False
        """Whether somebody watches the batches."""
        self._departed: dict[str, EngineStats] = {}
        """By id: what engines that are no more have counted."""
        self._departed_steps: deque[tuple[str, list[StepStats]]] = deque(maxlen=_DEPARTURES)

    def pin(self, model: HostedModel) -> Translator:
        """Loads a model that stays; blocks.

        Raises:
            CheckpointError, InvalidRequestError: it cannot be used.
        """
        from model.engine.warm_up import warm_up

        entry = _Entry(model, pinned=True, ready=True)
        started = time.monotonic()
        entry.memory = memory_of(model, self._engine)
        entry.translator = _load(model, own_engine(model, self._engine), self._cache)
        warm_up(entry.translator.engine)
        self._entries[model.key] = entry
        self._reserve(entry, entry.memory.loaded + entry.memory.working)
        self._note_loaded(entry, time.monotonic() - started)
        return entry.translator

    @asynccontextmanager
    async def use(
        self, model: HostedModel, deadline: float | None = None
    ) -> AsyncIterator[Translator]:
        """The model's translator, which stays loaded until the `with` ends.

        Args:
            model: which one; loaded if it is not.
            deadline: `time.monotonic()` seconds.

        Raises:
            ModelNotLoadedError: it cannot be loaded, or takes more memory than there is for models.
            DeadlineExceededError: the deadline passed before it was loaded.
            EngineDeadError: the replica's own model has stopped, or the pool is closed.
        """
        entry = self._entry(model)
        entry.calls += 1
        try:
            if not entry.ready:
                await self._prepared(entry, deadline)
            if (translator := entry.translator) is None:
                raise EngineDeadError(f"the engine of {model.id} has stopped")
            yield translator
        finally:
            entry.calls -= 1
            self._rest(entry)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """The models that are loaded now. On any thread."""
        return tuple(
            LoadedModel(
                key=entry.model.key,
                id=entry.model.id,
                bytes=entry.loaded_bytes,
                pinned=entry.pinned,
                calls=entry.calls,
            )
            for entry in list(self._entries.values())
            if entry.translator is not None
        )

    def retain(self, keys: frozenset[str]) -> None:
        """Lets go of all models but these: at once, or when the calls that they have are done.

        Args:
            keys: those that the catalog has.
        """
        self._retained = keys
        names = {model_of(key) for key in keys}
        with self._lock:
            self._departed = {
                name: stats for name, stats in self._departed.items() if name in names
            }
        for entry in list(self._entries.values()):
            self._let_go(entry)

    def check_health(self) -> None:
        """Looks whether the models run that were pinned; others are loaded anew when asked for.

        Raises:
            EngineDeadError: one of them has stopped, or the GPU is lost, which an earlier check or
                call has found: then it fails whatever this process asks of it.
        """
        for entry in list(self._entries.values()):
            if not entry.dead:
                continue
            if entry.pinned:
                raise EngineDeadError(f"the engine of {entry.model.id} has stopped")
            self._drop_dead(entry)
        if self._lost_gpu is not None:
            raise EngineDeadError(f"{self._lost_gpu} has failed on the GPU, which is lost")

    def stats(self) -> dict[str, EngineStats]:
        """How full the engines are, by the id of their model. On any thread.

        What was ever counted stays counted when a model goes.
        """
        with self._lock:
            stats = {name: [each] for name, each in self._departed.items()}
            for name, translator in self._translators:
                stats.setdefault(name, []).append(translator.engine.stats())
        return {name: summed(each) for name, each in stats.items()}

    def drain_steps(self) -> list[tuple[str, list[StepStats]]]:
        """The engines' steps since the last call, with the ids of their models. On any thread."""
        with self._lock:
            steps = [*self._departed_steps]
            self._departed_steps.clear()
            for name, translator in self._translators:
                steps.append((name, translator.engine.drain_steps()))
            return steps

    def trace(self, on: bool) -> None:
        """Whether engines take note of what happens in their batches. On any thread."""
        with self._lock:
            self._traced = on
            for _, translator in self._translators:
                translator.engine.trace(on)

    def take_traces(self) -> list[tuple[str, BatchRecord]]:
        """What has happened in the batches since the last call, with the ids of the models. On any
        thread."""
        with self._lock:
            taken = [(name, each.engine.take_trace()) for name, each in self._translators]
        return [(name, record) for name, record in taken if record is not None]

    def close(self) -> None:
        """Ends all engines; nothing can be used any more. On any thread; idempotent."""
        self._closed = True
        with self._lock:
            translators = [translator for _, translator in self._translators]
        for translator in translators:
            translator.close()

    def _entry(self, model: HostedModel) -> _Entry:
        """The model's entry, which is ready or becomes so."""
        if self._closed:
            raise EngineDeadError("the replica has been closed")
        entry = self._entries.get(model.key)
        if entry is not None and entry.dead:
            if entry.pinned:
                raise EngineDeadError(f"the engine of {model.id} has stopped")
            self._drop_dead(entry)
            entry = self._entries.get(model.key)
        if entry is None:
            self._refuse(model)
            entry = self._entries[model.key] = _Entry(model)
        if not entry.ready and entry.preparing is None:
            self._prepare(entry)
        return entry

    def _drop_dead(self, entry: _Entry) -> None:
        """Removes a model whose engine has stopped, unless it is about to be loaded anew."""
        if entry.preparing is None:
            self._remove(entry)
            self._start(self._dispose(entry))

    async def _look_after_gpu(self, entry: _Entry, device: str) -> None:
        """After a failure: most are of one model, but a lost GPU is the end of this process.

        A task of its own, for which nobody waits: a GPU in trouble may not answer.
        """
        from model.engine.backends import gpu_is_lost

        if await start_thread(lambda: gpu_is_lost(device)):
            self._lost_gpu = entry.model.id

    def _prepare(self, entry: _Entry) -> None:
        memory = entry.memory
        if entry.translator is not None and memory is not None and self._fits(memory.working):
            self._reserve(entry, memory.working)
            entry.ready = True
            return
        entry.preparing = self._start(self._make_ready(entry))

    async def _prepared(self, entry: _Entry, deadline: float | None) -> None:
        assert entry.preparing is not None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        done, _ = await asyncio.wait({entry.preparing}, timeout=left)
        if not done:
            raise DeadlineExceededError(f"the deadline passed before {entry.model.id} was loaded")
        if entry.error is not None:
            raise type(entry.error)(str(entry.error))
        if not entry.ready:
            raise EngineDeadError("the replica has been closed")

    async def _make_ready(self, entry: _Entry) -> None:
        """A task of its own, so that the calls that wait for it may come and go."""
        try:
            while entry.calls:
                async with self._one_at_a_time:
                    if await self._load_within_budget(entry):
                        break
                if entry.calls:
                    self._freed.clear()
                    await self._freed.wait()
            if entry.translator is None:  # nobody wants it any more
                self._remove(entry)
        except ModelNotLoadedError as error:
            self._fail(entry, error)
        except Exception as error:  # of whatever kind: files, memory, threads
            # Its message may be told: no request's text has been looked at yet.
            LOGGER.exception("the model %s cannot be loaded: %s", entry.model.id, error)
            message = f"the model {entry.model.id} cannot be loaded now; the server's log tells why"
            self._fail(entry, ModelNotLoadedError(message))
            device = (entry.engine or self._engine).device
            if device != "cpu" and not isinstance(error, PolyheadError):
                self._start(self._look_after_gpu(entry, device))
        finally:
            entry.preparing = None
            self._rest(entry)

    async def _load_within_budget(self, entry: _Entry) -> bool:
        """Makes the model ready; False where there is no room for it now."""
        if entry.engine is None or entry.memory is None:
            assert self._budget is not None
            entry.engine, entry.memory = await self._in_time(entry, self._look_at)
        if entry.dead:
            await self._unload(entry)
        assert entry.memory is not None
        needed = entry.memory.working + (0 if entry.translator else entry.memory.loaded)
        if not await self._make_room(entry, needed):
            return False
        self._reserve(entry, needed)
        if entry.translator is None:
            started = time.monotonic()
            entry.translator = await self._in_time(entry, self._load_or_drop)
            self._note_loaded(entry, time.monotonic() - started)
            LOGGER.info("the model %s is loaded", entry.model.id)
        entry.ready = True
        return True

    async def _in_time(self, entry: _Entry, call: Callable[[_Entry], _T]) -> _T:
        """What a call says that reads the model's directory; on a thread of its own.

        Raises:
            ModelNotLoadedError: it takes too long. What it has reserved comes back when it ends.
        """
        reading = start_thread(lambda: call(entry))
        done, _ = await asyncio.wait({reading}, timeout=self._load_seconds)
        if done:
            return reading.result()
        entry.abandoned = True
        self._hanging.add(entry.model.key)
        reading.add_done_callback(lambda reading: self._give_up(entry, reading))
        raise ModelNotLoadedError(
            f"the model {entry.model.id} must be loaded within {self._load_seconds:g} s "
            "(`load_timeout_seconds`), but was not: its disk may be slow or away"
        )

    def _give_up(self, entry: _Entry, reading: asyncio.Future[Any]) -> None:
        """Takes note that a load has ended for which nobody has waited."""
        self._hanging.discard(entry.model.key)
        reading.exception()  # or asyncio would complain that nobody has looked
        self._unreserve(entry, entry.reserved)

    def _look_at(self, entry: _Entry) -> tuple[EngineConfig, ModelMemory]:
        """How a model is run, and what it takes."""
        assert self._budget is not None
        _check_content(entry.model)
        engine = shared_engine(entry.model, self._engine, self._budget)
        return engine, memory_of(entry.model, engine)

    async def _make_room(self, entry: _Entry, needed: int) -> bool:
        """Evicts until the bytes fit; False where what is in use leaves too few, or nobody wants
        the model any more."""
        least = needed + (0 if entry.translator is None else entry.loaded_bytes)
        assert self._budget is not None
        if least > (most := self._budget - self._pinned_bytes()):
            raise ModelNotLoadedError(
                f"the model {entry.model.id} takes {least / _MIB:.0f} MiB of memory, but there are "
                f"{max(0, most) / _MIB:.0f} MiB for models"
            )
        while entry.calls:
            if self._fits(needed):
                return True
            unused = [each for each in self._entries.values() if _is_unused(each, but=entry)]
            if not self._fits(needed - sum(each.reserved for each in unused)):
                return False
            # What others wait for, too, goes last.
            await self._evict(min(unused, key=lambda each: each.calls > 0))
        return False

    async def _evict(self, entry: _Entry) -> None:
        LOGGER.info("the model %s is evicted", entry.model.id)
        self._metrics.of(entry.model.id).evictions.inc()
        if entry.preparing is None:
            self._remove(entry)
            await self._dispose(entry)
        else:  # it waits for room to work in, and is loaded anew when it has its turn
            await self._unload(entry)

    async def _unload(self, entry: _Entry) -> None:
        self._note_departure(entry)
        await self._dispose(entry)

    def _remove(self, entry: _Entry) -> None:
        """From now on its model counts as not loaded."""
        if self._entries.get(entry.model.key) is entry:
            del self._entries[entry.model.key]
        self._note_departure(entry)

    def _note_departure(self, entry: _Entry) -> None:
        """What its engine has counted stays counted."""
        translator = entry.translator
        if translator is None:
            return
        with self._lock:
            name = entry.model.id
            self._translators.remove((name, translator))
            if self._has_left(entry):
                return
            counted = replace(
                translator.engine.stats(), running=0, waiting=0, slots_used=0, max_slots=0,
                waiting_source_tokens=0, running_source_tokens=0, waiting_since=None,
            )  # fmt: skip
            before = [self._departed[name]] if name in self._departed else []
            self._departed[name] = summed([*before, counted])
            self._departed_steps.append((name, translator.engine.drain_steps()))

    async def _dispose(self, entry: _Entry) -> None:
        """Gives the memory of what was removed back, to the system and to the budget."""
        translator, died, entry.translator = entry.translator, entry.dead, None
        entry.ready = False
        try:
            if translator is not None:
                await asyncio.to_thread(translator.close)
                if died and translator.device != "cpu":
                    self._start(self._look_after_gpu(entry, translator.device))
                del translator
                await asyncio.to_thread(give_back_free_memory)
        finally:
            self._unreserve(entry, entry.reserved)

    def _rest(self, entry: _Entry) -> None:
        """Takes note that a call has ended; without calls a model needs no memory to work in."""
        if entry.calls:
            return
        if self._entries.get(entry.model.key) is entry:
            self._entries[entry.model.key] = self._entries.pop(entry.model.key)
        if entry.ready and not entry.pinned and entry.memory is not None:
            entry.ready = False
            self._unreserve(entry, entry.memory.working)
        self._let_go(entry)
        self._freed.set()  # an idle model can be evicted, and who has left need not be waited for

    def _let_go(self, entry: _Entry) -> None:
        """Drops a model that has left the catalog, if nothing uses it."""
        left = self._retained is not None and entry.model.key not in self._retained
        if not left or entry.pinned or entry.calls or entry.preparing is not None:
            return
        if self._entries.get(entry.model.key) is entry:
            LOGGER.info("the model %s has left the catalog", entry.model.key)
            self._remove(entry)
            self._start(self._dispose(entry))

    def _has_left(self, entry: _Entry) -> bool:
        """Whether the catalog has no revision of its model any more."""
        keys = self._retained
        return keys is not None and entry.model.id not in {model_of(key) for key in keys}

    def _fail(self, entry: _Entry, error: PolyheadError) -> None:
        self._metrics.of(entry.model.id).load_failures.inc()
        entry.error = error
        self._remove(entry)
        if not entry.abandoned:
            self._unreserve(entry, entry.reserved)
        now = time.monotonic()
        self._failures = {key: one for key, one in self._failures.items() if one[0] > now}
        self._failures[entry.model.key] = now + _RETRY_SECONDS, error

    def _refuse(self, model: HostedModel) -> None:
        """Whatever need not be tried."""
        if self._budget is None:
            raise ModelNotLoadedError(f"the model {model.id} is none of this replica's")
        if model.key in self._hanging:  # another load would hang as well
            raise ModelNotLoadedError(
                f"the model {model.id} cannot be loaded now: its last load has not ended yet"
            )
        until, error = self._failures.get(model.key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise type(error)(str(error))

    def _note_loaded(self, entry: _Entry, seconds: float) -> None:
        assert entry.translator is not None
        with self._lock:
            self._translators.append((entry.model.id, entry.translator))
            if self._traced:
                entry.translator.engine.trace(True)
        self._metrics.observe_load(entry.model.id, seconds)
        for note in entry.translator.engine.notes:
            LOGGER.warning(note)

    def _load_or_drop(self, entry: _Entry) -> Translator:
        """On a thread, which cannot be stopped when the replica ends or the time is over."""
        assert entry.engine is not None
        translator = _load(entry.model, entry.engine, self._cache)
        give_back_free_memory()  # weights were read through it
        if self._closed or entry.abandoned:
            translator.close()
        return translator

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _fits(self, needed: int) -> bool:
        return self._budget is None or self._reserved + needed <= self._budget

    def _pinned_bytes(self) -> int:
        return sum(entry.reserved for entry in self._entries.values() if entry.pinned)

    def _reserve(self, entry: _Entry, size: int) -> None:
        entry.reserved += size
        self._reserved += size

    def _unreserve(self, entry: _Entry, size: int) -> None:
        entry.reserved -= size
        self._reserved -= size
        self._freed.set()


def shared_engine(model: HostedModel, engine: EngineConfig, budget: int) -> EngineConfig:
    """The engine of a model that shares its process with many others.

    It has fewer threads where all of them would take more than half of the budget, in bytes: many
    CPUs may come with little memory.

    Raises:
        CheckpointError: as `memory_of` does.
    """
    from model.engine.backends import num_threads

    engine = own_engine(model, engine)
    if engine.max_slots is not None:
        return engine
    threads = num_threads(engine)
    memory = memory_of(model, replace(engine, max_slots=threads * _SHARED_SLOTS))
    fitting = max(0, budget // 2 - memory.loaded) * threads // memory.working
    threads = max(1, min(threads, fitting))
    return replace(engine, num_threads=threads, max_slots=threads * _SHARED_SLOTS)


def own_engine(model: HostedModel, engine: EngineConfig) -> EngineConfig:
    """The engine of a replica as the model wants it."""
    return replace(engine, device=model.device or engine.device, dtype=model.dtype or engine.dtype)


def memory_of(model: HostedModel, engine: EngineConfig) -> ModelMemory:
    """What the model will take in a replica with this engine; nothing is loaded.

    Raises:
        CheckpointError: its directory holds no model, or it is damaged.
    """
    from model.memory import model_memory

    return model_memory(model_directory(model.directory), own_engine(model, engine))


def model_of(key: str) -> str:
    """The id in the key of a model."""
    return key.rpartition("@")[0]


def summed(stats: Sequence[EngineStats]) -> EngineStats:
    """Figures of several engines together."""
    from model.engine.engine import EngineStats

    since = [each.waiting_since for each in stats if each.waiting_since is not None]
    return EngineStats(
        waiting_since=min(since, default=None),
        **{
            each.name: sum(getattr(one, each.name) for one in stats)
            for each in fields(EngineStats)
            if each.name != "waiting_since"
        },
    )


def _load(model: HostedModel, engine: EngineConfig, cache: SegmentCache | None) -> Translator:
    from model.segment_cache import ModelCache
    from model.translator import Translator

    directory = model_directory(model.directory)
    _check_content(model)
    own = None if cache is None else ModelCache(cache, label=model.id)
    translator = Translator.load(directory, engine, generation=model.generation, cache=own)
    try:
        _check_content(model)  # it may have changed in the meantime
    except PolyheadError:
        translator.close()
        raise
    return translator


def _check_content(model: HostedModel) -> None:
    """ModelNotLoadedError if a directory holds something else than when it came into the catalog.

    Under one revision there must be one model, whenever and wherever it is loaded.
    """
    from model.checkpoints.checksums import fingerprint

    if model.fingerprint and fingerprint(model_directory(model.directory)) != model.fingerprint:
        raise ModelNotLoadedError(
            f"the directory of {model.id} must hold what it held when the model came into the "
            f"catalog, but holds something else: `polyhead models reload {model.id}` takes that"
        )


def _is_unused(entry: _Entry, *, but: _Entry) -> bool:
    """Whether it may be evicted for another one: calls for it wait at most."""
    loaded = entry.translator is not None and not entry.ready
    return loaded and not entry.pinned and entry is not but
