"""Models are loaded once and on demand, within a budget, and what is in use stays."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import random
import re
import shutil
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from model.checkpoints.checksums import fingerprint, write_checksums
from model.checkpoints.embedded import EMBEDDED
from model.config import EngineConfig
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    ModelNotLoadedError,
)
from model.memory import ModelMemory
from model.translator import Translator
from service.hosting import model_pool
from service.hosting.model_pool import ModelPool, memory_of, shared_engine
from service.observability.metrics import TranslatorMetrics
from service.protocol import HostedModel
from tests.fakes import until
from tests.tiny_model import build_tiny_model

ENGINE = EngineConfig(backend="native", num_threads=1, max_slots=4)
MIB = 2**20

T = TypeVar("T")

OpenPool = Callable[..., ModelPool]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def hosted(tiny_model: Path) -> Callable[[str], HostedModel]:
    """Models by name, which all are the same one."""
    return lambda name: HostedModel(key=f"{name}@1", id=name, directory=str(tiny_model))


@pytest.fixture
def most(hosted: Callable[[str], HostedModel]) -> Callable[[float], int]:
    """The budget for so many of them that work; one that only is loaded takes a bit less."""
    memory = memory_of(hosted("a"), ENGINE)
    return lambda count: int(count * (memory.loaded + memory.working))


@pytest.fixture
async def open_pool() -> AsyncIterator[OpenPool]:
    pools: list[ModelPool] = []

    def open_pool(
        budget: int | None = 1024 * MIB, engine: EngineConfig = ENGINE, load_seconds: float = 120
    ) -> ModelPool:
        metrics = TranslatorMetrics(budget)
        pool = ModelPool(engine, metrics, memory_budget=budget, load_seconds=load_seconds)
        pools.append(pool)
        return pool

    yield open_pool
    for pool in pools:
        await _close(pool)


async def _close(pool: ModelPool) -> None:
    await until(lambda: not pool._tasks)
    pool.close()


class Loads:
    """Stands before every load: counts it, holds it up, or lets it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        own = model_pool._load

        def load(model: HostedModel, engine: EngineConfig, cache: None) -> Translator:
            self.names.append(model.id)
            assert self.may_go_on.wait(60)
            if self.error is not None:
                raise self.error
            return own(model, engine, cache)

        monkeypatch.setattr(model_pool, "_load", load)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


Hosted = Callable[[str], HostedModel]
Most = Callable[[float], int]


async def touch(pool: ModelPool, model: HostedModel, deadline: float | None = None) -> str:
    async with pool.use(model, deadline) as translator:
        [translated] = await translator.translate_async(["The red house."])
        return translated.text


def names(pool: ModelPool) -> list[str]:
    return [each.id for each in pool.loaded()]


async def test_those_who_ask_at_once_share_a_load(
    open_pool: OpenPool, hosted: Hosted, loads: Loads
) -> None:
    pool = open_pool()
    texts = await asyncio.gather(*(touch(pool, hosted("a")) for _ in range(8)))
    assert len(set(texts)) == 1
    assert loads.names == ["a"]
    assert pool._metrics.of("a").loads._value.get() == 1
    assert await touch(pool, hosted("b")) == texts[0]
    assert loads.names == ["a", "b"]


async def test_each_engine_takes_note_while_somebody_watches(
    open_pool: OpenPool, hosted: Hosted
) -> None:
    pool = open_pool()
    await touch(pool, hosted("a"))
    assert pool.take_traces() == []
    pool.trace(True)
    for name in ("a", "b"):  # the second one is loaded only now
        await touch(pool, hosted(name))
    taken = pool.take_traces()
    assert [name for name, _ in taken] == ["a", "b"]
    assert all(record.steps and not record.running for _, record in taken)
    pool.trace(False)
    await touch(pool, hosted("a"))
    assert pool.take_traces() == []
    assert all(translator.engine._trace is None for _, translator in pool._translators)


async def test_the_one_goes_that_was_not_asked_for_the_longest(
    open_pool: OpenPool, hosted: Hosted, most: Most
) -> None:
    pool = open_pool(most(3))
    for name in ("a", "b", "c", "a", "d"):
        await touch(pool, hosted(name))
    assert names(pool) == ["c", "a", "d"]
    assert pool._metrics.of("b").evictions._value.get() == 1


async def test_what_is_in_use_stays(open_pool: OpenPool, hosted: Hosted, most: Most) -> None:
    pool = open_pool(most(2))
    async with pool.use(hosted("a")) as translator:
        for name in ("b", "c", "b"):
            await touch(pool, hosted(name))
        assert names(pool) == ["a", "b"]
        assert translator.engine.alive
    assert all(each.calls == 0 for each in pool.loaded())


async def test_who_finds_all_in_use_waits_until_one_is_not(
    open_pool: OpenPool, hosted: Hosted, most: Most, loads: Loads
) -> None:
    pool = open_pool(most(1))
    async with pool.use(hosted("a")):
        waiting = asyncio.create_task(touch(pool, hosted("b")))
        with pytest.raises(DeadlineExceededError, match="before c was loaded"):
            await touch(pool, hosted("c"), time.monotonic() + 0.05)
        assert not waiting.done()
        assert loads.names == ["a"]
    await waiting
    assert names(pool) == ["b"]


async def test_who_stops_waiting_keeps_nobody_else_from_it(
    open_pool: OpenPool, hosted: Hosted, most: Most, loads: Loads
) -> None:
    pool = open_pool(most(1))
    async with pool.use(hosted("a")):
        first, second = (asyncio.create_task(touch(pool, hosted(name))) for name in "bc")
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    await second
    assert loads.names == ["a", "c"]
    assert pool._reserved == pool._entries["c@1"].loaded_bytes


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, tuple[int, int]]], None]:
    """Sets what models take, by name: in MiB, while they are loaded and while they work."""

    def set_sizes(sizes: Mapping[str, tuple[int, int]]) -> None:
        rounding = ModelMemory(weights=0, vocabulary=0, slot=0, num_slots=0, scratch=0).loaded

        def memory_of(model: HostedModel, _: EngineConfig) -> ModelMemory:
            loaded, working = (size * MIB for size in sizes[model.id])
            return ModelMemory(
                weights=loaded - rounding, vocabulary=0, slot=0, num_slots=0, scratch=working
            )

        monkeypatch.setattr(model_pool, "memory_of", memory_of)

    return set_sizes


Sizes = Callable[[Mapping[str, tuple[int, int]]], None]


async def test_those_who_wait_for_room_do_not_wait_for_each_other(
    open_pool: OpenPool, hosted: Hosted, sizes: Sizes
) -> None:
    sizes({"idle": (40, 30), "busy": (30, 20), "new": (60, 20)})
    pool = open_pool(100 * MIB)
    for name in ("busy", "idle"):
        await touch(pool, hosted(name))
    async with pool.use(hosted("busy")):
        waiting = [asyncio.create_task(touch(pool, hosted(name))) for name in ("new", "idle")]
        await asyncio.sleep(0.1)
        assert not any(each.done() for each in waiting)
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
    assert pool._reserved == sum(each.bytes for each in pool.loaded())


async def test_a_model_without_room_holds_no_other_up(
    open_pool: OpenPool, hosted: Hosted, sizes: Sizes
) -> None:
    sizes({"busy": (30, 20), "large": (60, 20), "small": (10, 10)})
    pool = open_pool(100 * MIB)
    async with pool.use(hosted("busy")):
        large = asyncio.create_task(touch(pool, hosted("large")))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(30):
            await touch(pool, hosted("small"))
        assert not large.done()
    await large


async def test_an_engine_that_dies_while_its_model_waits_is_replaced(
    open_pool: OpenPool, hosted: Hosted, sizes: Sizes
) -> None:
    sizes({"a": (40, 30), "busy": (30, 20)})
    pool = open_pool(100 * MIB)
    for name in ("busy", "a"):
        await touch(pool, hosted(name))
    async with pool.use(hosted("busy")):
        waiting = asyncio.create_task(touch(pool, hosted("a")))
        await asyncio.sleep(0.05)
        pool._entries["a@1"].translator.engine.close()  # type: ignore[union-attr]
        also = asyncio.create_task(touch(pool, hosted("a")))
        await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        await asyncio.gather(waiting, also)
    await until(lambda: not pool._tasks)
    assert pool._reserved == sum(each.bytes for each in pool.loaded())


async def test_a_model_that_never_fits_is_refused_with_both_numbers(
    open_pool: OpenPool, hosted: Hosted, most: Most
) -> None:
    pool = open_pool(most(0.5))
    with pytest.raises(ModelNotLoadedError, match=r"a takes \d+ MiB of memory, but there are \d+"):
        await touch(pool, hosted("a"))
    assert (pool._reserved, pool.loaded()) == (0, ())
    assert pool._metrics.of("a").load_failures._value.get() == 1


async def test_a_failed_load_is_told_to_all_and_tried_again_after_a_pause(
    open_pool: OpenPool, hosted: Hosted, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = open_pool()
    loads.error = RuntimeError("there is no such thing")
    asked = [touch(pool, hosted("a")) for _ in range(3)]
    for error in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(error, ModelNotLoadedError)
        assert str(error) == "the model a cannot be loaded now; the server's log tells why"
    loads.error = None
    with pytest.raises(ModelNotLoadedError):
        await touch(pool, hosted("a"))
    assert loads.names == ["a"]
    await touch(pool, hosted("b"))  # others are not concerned
    later = time.monotonic() + model_pool._RETRY_SECONDS
    monkeypatch.setattr(model_pool.time, "monotonic", lambda: later)
    await touch(pool, hosted("a"))
    assert names(pool) == ["b", "a"]


async def test_a_load_that_hangs_holds_no_other_up(
    open_pool: OpenPool, hosted: Hosted, loads: Loads
) -> None:
    pool = open_pool(load_seconds=0.5)
    loads.may_go_on.clear()
    words = "a must be loaded within 0.5 s \\(`load_timeout_seconds`\\), but was not"
    for error in await asyncio.gather(
        *(touch(pool, hosted("a")) for _ in range(3)), return_exceptions=True
    ):
        assert isinstance(error, ModelNotLoadedError)
        assert re.search(words, str(error))
    # Nobody begins another one as long as it hangs.
    pool._failures.clear()
    with pytest.raises(ModelNotLoadedError, match="its last load has not ended yet"):
        await touch(pool, hosted("a"))
    assert loads.names == ["a"]
    held = pool._reserved
    assert held > 0
    pool._load_seconds = 120
    loads.may_go_on.set()
    await until(lambda: not pool._hanging)
    assert pool._reserved == 0
    for name in "ba":
        await touch(pool, hosted(name))
    assert names(pool) == ["b", "a"]


async def test_what_has_left_the_catalog_goes_when_nothing_uses_it(
    open_pool: OpenPool, hosted: Hosted
) -> None:
    pool = open_pool()
    for name in "abc":
        await touch(pool, hosted(name))
    async with pool.use(hosted("b")) as translator:
        pool.retain(frozenset({"c@1"}))
        await until(lambda: not pool._tasks)
        assert sorted(names(pool)) == ["b", "c"]
        assert translator.engine.alive
    await until(lambda: not pool._tasks)
    assert names(pool) == ["c"]
    assert pool._reserved == sum(each.bytes for each in pool.loaded())
    # Nor does anything that was counted for them stay.
    assert pool.stats().keys() == {"c"}
    assert {name for name, _ in pool.drain_steps()} <= {"a", "b", "c"}


async def test_of_a_replaced_revision_the_counts_stay(open_pool: OpenPool, hosted: Hosted) -> None:
    pool = open_pool()
    await touch(pool, hosted("a"))
    counted = pool.stats()["a"].submitted_source_tokens
    pool.retain(frozenset({"a@2"}))
    await until(lambda: not pool._tasks)
    assert pool.loaded() == ()
    assert pool.stats()["a"].submitted_source_tokens == counted > 0


async def test_another_content_under_the_same_revision_is_refused(
    open_pool: OpenPool, tmp_path: Path
) -> None:
    directory = build_tiny_model(tmp_path / "m")
    model = HostedModel(
        key="m@1", id="m", directory=str(directory), fingerprint=fingerprint(directory)
    )
    pool = open_pool()
    await touch(pool, model)
    with (directory / "config.json").open("a") as file:
        file.write(" ")
    (directory / "SHA256SUMS").unlink()
    write_checksums(directory)
    await touch(pool, model)  # it is still there
    other = replace(model, key="m@2", fingerprint=fingerprint(directory))
    pool.retain(frozenset({"m@2"}))
    await until(lambda: not pool._tasks)
    with pytest.raises(ModelNotLoadedError, match="holds something else: `polyhead models reload"):
        await touch(pool, model)
    await touch(pool, other)
    with pytest.raises(ModelNotLoadedError, match="holds something else"):
        open_pool(None).pin(model)


async def test_a_broken_directory_is_no_model(
    open_pool: OpenPool, tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{}")
    pool = open_pool()
    with pytest.raises(ModelNotLoadedError):
        await touch(pool, HostedModel(key="a@1", id="a", directory=str(tmp_path / "broken")))
    assert pool._reserved == 0


async def test_a_load_goes_on_when_all_leave_who_asked_for_it(
    open_pool: OpenPool, hosted: Hosted, loads: Loads
) -> None:
    pool = open_pool()
    loads.may_go_on.clear()
    asked = asyncio.create_task(touch(pool, hosted("a")))
    await until(lambda: bool(loads.names))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    loads.may_go_on.set()
    await touch(pool, hosted("a"))
    assert loads.names == ["a"]


async def test_a_dead_engine_is_replaced(open_pool: OpenPool, hosted: Hosted) -> None:
    pool = open_pool()
    async with pool.use(hosted("a")) as translator:
        translator.engine.close()
        with pytest.raises(EngineDeadError):
            await translator.translate_async(["The red house."])
        pool.check_health()
        await touch(pool, hosted("a"))
    await until(lambda: not pool._tasks)
    assert pool._reserved == sum(each.bytes for each in pool.loaded())


async def test_a_dead_engine_that_nobody_asks_for_is_dropped(
    open_pool: OpenPool, hosted: Hosted
) -> None:
    pool = open_pool()
    async with pool.use(hosted("a")) as translator:
        pass
    translator.engine.close()
    pool.check_health()
    await until(lambda: not pool._tasks)
    assert not names(pool)
    assert pool._reserved == 0


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """By name, whether a GPU is lost."""
    lost = {"cuda:0": False}
    monkeypatch.setattr("model.engine.backends.gpu_is_lost", lost.__getitem__)
    return lost


async def end_on_gpu(pool: ModelPool, model: HostedModel) -> None:
    """The model's engine stops, as on a GPU."""
    async with pool.use(model) as translator:
        translator.device = "cuda:0"
    translator.engine.close()


async def test_a_lost_gpu_is_the_replicas_death(
    open_pool: OpenPool, hosted: Hosted, gpu: dict[str, bool]
) -> None:
    """What a device has failed once fails for ever in that process, whatever is loaded anew."""
    pool = open_pool()
    async with pool.use(hosted("a")) as translator:
        translator.device = "cuda:0"
        pool.check_health()
        gpu["cuda:0"] = True
        translator.engine.close()
    pool.check_health()  # notices it, and looks
    await until(lambda: not pool._tasks)
    for _ in range(2):  # also when another has taken its place
        with pytest.raises(EngineDeadError, match="a has failed on the GPU, which is lost"):
            pool.check_health()
        await touch(pool, hosted("a"))


async def test_an_engine_that_stops_on_a_gpu_by_itself_is_replaced(
    open_pool: OpenPool, hosted: Hosted, gpu: dict[str, bool]
) -> None:
    """A model whose numbers overflow is nobody else's business."""
    pool = open_pool()
    await end_on_gpu(pool, hosted("a"))
    for _ in range(2):
        await touch(pool, hosted("a"))
        await until(lambda: not pool._tasks)
        pool.check_health()
    assert not gpu["cuda:0"]


async def test_a_lost_gpu_is_noticed_also_when_its_model_goes(
    open_pool: OpenPool, hosted: Hosted, most: Most, gpu: dict[str, bool]
) -> None:
    pool = open_pool(most(1))
    gpu["cuda:0"] = True
    await end_on_gpu(pool, hosted("a"))
    await touch(pool, hosted("b"))
    assert names(pool) == ["b"]
    await until(lambda: not pool._tasks)
    with pytest.raises(EngineDeadError, match="a has failed on the GPU, which is lost"):
        pool.check_health()


@pytest.mark.parametrize("lost", [False, True])
async def test_a_load_that_fails_on_a_lost_gpu_is_the_replicas_death(
    open_pool: OpenPool, hosted: Hosted, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """No engine may run there that could tell."""
    asked: list[str] = []

    def is_lost(device: str) -> bool:
        asked.append(device)
        return lost

    def fail(*_: object) -> Translator:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("model.engine.backends.gpu_is_lost", is_lost)
    monkeypatch.setattr(model_pool, "_load", fail)
    pool = open_pool()
    pool._engine = replace(pool._engine, device="auto")
    with pytest.raises(ModelNotLoadedError, match="a cannot be loaded now"):
        await touch(pool, hosted("a"))
    await until(lambda: not pool._tasks)
    assert asked == ["auto"]
    if lost:
        with pytest.raises(EngineDeadError, match="a has failed on the GPU, which is lost"):
            pool.check_health()
    else:
        pool.check_health()


async def test_a_gpu_that_does_not_answer_keeps_nobody(
    open_pool: OpenPool, hosted: Hosted, most: Most, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("model.engine.backends.gpu_is_lost", lambda _: answers.wait(60))
    pool = open_pool(most(1))
    await end_on_gpu(pool, hosted("a"))
    await touch(pool, hosted("a"))
    await touch(pool, hosted("b"))
    pool.check_health()
    answers.set()
    await until(lambda: not pool._tasks)
    with pytest.raises(EngineDeadError, match="a has failed on the GPU, which is lost"):
        pool.check_health()


async def test_a_load_that_breaks_a_rule_says_nothing_about_a_gpu(
    open_pool: OpenPool, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Translator:
        raise InvalidRequestError("`device` must be auto, cpu or cuda, but is 'cuda0'")

    monkeypatch.setattr("model.engine.backends.gpu_is_lost", lambda _: True)
    monkeypatch.setattr(model_pool, "_load", fail)
    pool = open_pool()
    pool._engine = replace(pool._engine, device="auto")
    with pytest.raises(ModelNotLoadedError, match="a cannot be loaded now"):
        await touch(pool, hosted("a"))
    await until(lambda: not pool._tasks)
    pool.check_health()


async def test_a_pinned_model_is_never_evicted_and_its_death_is_the_replicas(
    open_pool: OpenPool, hosted: Hosted, most: Most
) -> None:
    pool = open_pool(most(2))
    pinned = pool.pin(hosted("p"))
    for name in ("a", "b"):
        await touch(pool, hosted(name))
    assert names(pool) == ["p", "b"]
    pool.check_health()
    pinned.close()
    with pytest.raises(EngineDeadError, match="engine of p has stopped"):
        pool.check_health()
    with pytest.raises(EngineDeadError):
        await touch(pool, hosted("p"))


async def test_without_a_budget_there_are_only_the_pinned(
    open_pool: OpenPool, hosted: Hosted
) -> None:
    pool = open_pool(None)
    pool.pin(hosted("p"))
    with pytest.raises(ModelNotLoadedError, match="the model a is none of this replica's"):
        await touch(pool, hosted("a"))


async def test_a_model_says_how_it_is_run(open_pool: OpenPool, tiny_model: Path) -> None:
    model = HostedModel(
        key="a@1", id="a", directory=str(tiny_model), dtype="float32", generation={"beam_size": 3}
    )
    async with open_pool().use(model) as translator:
        assert (translator.dtype, translator.generation.beam_size) == ("float32", 3)
        assert translator.generation.max_new_tokens_over_source == 8


async def test_what_was_counted_stays_when_a_model_goes(
    open_pool: OpenPool, hosted: Hosted, most: Most
) -> None:
    pool = open_pool(most(1))
    await touch(pool, hosted("a"))
    before = pool.stats()["a"]
    await touch(pool, hosted("b"))
    gone = pool.stats()["a"]
    assert gone.submitted_source_tokens == before.submitted_source_tokens > 0
    assert (gone.max_slots, before.max_slots) == (0, 4)
    assert [name for name, steps in pool.drain_steps() if steps] == ["a", "b"]
    await touch(pool, hosted("a"))
    assert pool.stats()["a"].submitted_source_tokens == 2 * before.submitted_source_tokens


async def test_an_evicted_model_is_gone_without_a_collection(
    open_pool: OpenPool, hosted: Hosted, most: Most
) -> None:
    pool = open_pool(most(1))
    gc.disable()
    try:
        async with pool.use(hosted("a")) as translator:
            await translator.translate_async(["The red house."])
            alive = weakref.ref(translator)
            del translator
        await touch(pool, hosted("b"))
        assert alive() is None
    finally:
        gc.enable()


def test_an_evicted_model_gives_its_memory_back() -> None:
    sizes, loaded = _in_a_process_of_its_own(_sizes_of_evictions)
    # Behind the first turns, in which the allocator warms up.
    assert max(sizes[8:]) < max(sizes[4:8]) + loaded / 3


async def _sizes_of_evictions() -> tuple[list[int], int]:
    models = [HostedModel(key=f"{name}@1", id=name, directory=name) for name in EMBEDDED]
    memory = memory_of(models[0], ENGINE)
    budget = int(1.5 * memory.loaded + memory.working)
    pool = ModelPool(ENGINE, TranslatorMetrics(budget), memory_budget=budget, load_seconds=120)
    sizes = []
    for turn in range(14):
        await touch(pool, models[turn % 2])
        assert len(pool.loaded()) == 1
        sizes.append(_resident())
    await _close(pool)
    return sizes, memory.loaded


def test_the_numbers_are_what_the_process_grows_by() -> None:
    grown, loaded = _in_a_process_of_its_own(_growth_by_a_model)
    assert grown == pytest.approx(loaded, rel=0.25)


async def _growth_by_a_model() -> tuple[float, int]:
    given, budget = EngineConfig(backend="native", num_threads=2), 1024 * MIB
    models = [HostedModel(key=f"{n}@1", id=str(n), directory="en-de") for n in range(5)]
    pool = ModelPool(given, TranslatorMetrics(budget), memory_budget=budget, load_seconds=120)
    await touch(pool, models[0])  # what the first one loads besides: libraries
    await until(lambda: not any(_uses_memory(pool)))
    before = _resident()
    for model in models[1:]:
        await touch(pool, model)
    await until(lambda: not any(_uses_memory(pool)))
    grown = (_resident() - before) / 4
    engine = shared_engine(models[0], given, budget)
    assert (engine.num_threads, engine.max_slots) == (2, 64)
    await _close(pool)
    return grown, memory_of(models[0], engine).loaded


async def test_many_cpus_with_little_memory_leave_room_for_two(open_pool: OpenPool) -> None:
    en_de, de_en = (HostedModel(key=f"{n}@1", id=n, directory=n) for n in ("en-de", "de-en"))
    engine = EngineConfig(backend="native", num_threads=64)
    pool = open_pool(200 * MIB, engine)
    async with pool.use(en_de) as first, pool.use(de_en) as second:
        assert (await first.translate_async(["Red."]))[0].text
        assert (await second.translate_async(["Rot."]))[0].text
        assert first.engine.max_beam_size >= 8
    assert shared_engine(en_de, engine, 2**20).num_threads == 1


def _uses_memory(pool: ModelPool) -> list[bool]:
    return [
        worker.used_memory
        for _, translator in pool._translators
        for worker in translator.engine._workers
    ]


def _in_a_process_of_its_own(measure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `measure` returns, where no other test's threads and remains move the numbers."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(_run, measure).result(timeout=120)


def _run(measure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(measure())


def _resident() -> int:
    """Anonymous memory that this process can reach, in bytes: not the pages of files."""
    gc.collect()
    model_pool.give_back_free_memory()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    [size] = [line.split()[1] for line in lines if line.startswith("Anonymous:")]
    return int(size) * 1024


def test_idle_models_have_one_team_of_threads(tiny_model: Path) -> None:
    """Helpers are the process's; what is left are the engines' own, which sleep."""
    before = len(os.listdir("/proc/self/task"))
    config = EngineConfig(backend="native", num_threads=2)
    translators = [Translator.load(EMBEDDED["en-de"], config) for _ in range(3)]
    try:
        threads = [
            (Path("/proc/self/task") / task / "comm").read_text().strip()
            for task in os.listdir("/proc/self/task")
        ]
        assert threads.count("polyhead-team") <= 1
        assert len(threads) - before <= 3 * 2 + 1
    finally:
        for translator in translators:
            translator.close()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_the_budget_holds_and_nobody_is_left_waiting(
    open_pool: OpenPool, hosted: Hosted, most: Most, seed: int
) -> None:
    pool, generator = open_pool(most(2.5)), random.Random(seed)
    held: dict[str, int] = {}

    @asynccontextmanager
    async def counted(name: str) -> AsyncIterator[None]:
        held[name] = held.get(name, 0) + 1
        try:
            yield
        finally:
            held[name] -= 1

    async def call() -> None:
        name = generator.choice("aaabbcdef")
        deadline = time.monotonic() + generator.choice([0.01, 60, 60, 60])
        async with AsyncExitStack() as stack:
            translator = await stack.enter_async_context(pool.use(hosted(name), deadline))
            await stack.enter_async_context(counted(name))
            assert pool._reserved <= most(2.5)
            await asyncio.sleep(generator.random() / 100)
            assert name in names(pool) or not translator.engine.alive
            if generator.random() < 0.05:
                translator.engine.close()

    async def come_and_go() -> None:
        for _ in range(12):
            task = asyncio.create_task(call())
            if generator.random() < 0.2:
                await asyncio.sleep(generator.random() / 50)
                task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            expected = (asyncio.CancelledError, DeadlineExceededError, type(None))
            assert isinstance(outcome, expected), repr(outcome)

    async with asyncio.timeout(120):
        await asyncio.gather(*(come_and_go() for _ in range(6)))
        await until(lambda: not pool._tasks)
    assert not any(held.values())
    assert pool._reserved == sum(each.bytes for each in pool.loaded())
