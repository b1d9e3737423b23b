"""A device that is out of memory, shared or lost, and what becomes of engine and callers."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable

import pytest
import torch

from model.config import EngineConfig, GenerationConfig
from model.engine import backends
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.engine.cuda.stream import CudaStream, Mark
from model.engine.engine import Engine
from model.errors import EngineDeadError, InvalidRequestError
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.deferred_stream import DeferredStream
from tests.unit.model.engine.fake_runner import until

GREEDY = GenerationConfig(beam_size=1, max_new_tokens=9)
LOST = "CUDA error: an illegal memory access was encountered"


class FailingStream(DeferredStream):
    """Raises from when `error` is set on, whatever it is asked for, as CUDA does."""

    error: RuntimeError | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def run(self, work: Callable[[], None]) -> None:
        self._check()
        super().run(work)

    def mark(self) -> Mark:
        self._check()
        return super().mark()

    def settle(self) -> None:
        self._check()
        super().settle()


class LostMark:
    """The mark of a copy that never comes."""

    def wait(self) -> None:
        raise RuntimeError(LOST)

    def seconds_since(self, earlier: Mark) -> float:
        raise RuntimeError(LOST)


def make_runner(stream: DeferredStream, **options: float) -> CudaRunner:
    return CudaRunner(
        tiny_transformer(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        stream=stream,
        operations=PlainOperations(torch.float32),
        beams=(),
        **{"max_slots": 4, **options},  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("error", [RuntimeError(LOST), torch.OutOfMemoryError("out of memory")])
def test_what_fails_in_a_step_ends_the_engine_and_nobody_waits(error: RuntimeError) -> None:
    stream = FailingStream()
    engine = Engine(tiny_transformer(), EngineConfig(), runners=[make_runner(stream)])
    [done] = engine.submit([[5, 2]], GREEDY)
    assert done.result(timeout=60).hypotheses
    stream.error = error
    running, waiting = engine.submit([[5, 2], [6, 2]], GREEDY)
    for future in (running, waiting):
        with pytest.raises(EngineDeadError, match=str(error)):
            future.result(timeout=60)
    until(lambda: not engine.alive)
    with pytest.raises(EngineDeadError, match=str(error)):
        engine.submit([[5, 2]], GREEDY)
    engine.close()


def test_results_that_never_come_end_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FailingStream()
    fetch = stream.fetch
    monkeypatch.setattr(stream, "fetch", lambda table, rows: (fetch(table, rows)[0], LostMark()))
    engine = Engine(tiny_transformer(), EngineConfig(), runners=[make_runner(stream)])
    [lost] = engine.submit([[5, 2]], GREEDY)
    with pytest.raises(EngineDeadError, match=LOST):
        lost.result(timeout=60)
    until(lambda: not engine.alive)
    engine.close()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
    ],
)
def test_too_little_memory_at_load_is_said_and_what_was_taken_is_given_back(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    """Before others hear of it, who may want the memory."""
    taken: list[weakref.ref[torch.Tensor]] = []
    when_given_back: list[bool] = []

    def full(*arguments: object, **options: object) -> None:
        slots = torch.zeros(4)
        taken.append(weakref.ref(slots))
        raise error

    monkeypatch.setattr("model.engine.cuda.runner.CudaRunner", full)
    monkeypatch.setattr(backends, "resolve_device", lambda name: torch.device("cuda", 0))
    monkeypatch.setattr(
        torch.cuda, "empty_cache", lambda: when_given_back.append(taken[0]() is None)
    )
    said = f"must have memory for .*{re.escape(str(error))}"
    with pytest.raises(InvalidRequestError, match=said):
        backends.build_runners(tiny_transformer(), EngineConfig(backend="cuda"))
    assert when_given_back == [True]


def test_what_else_fails_at_load_is_not_called_too_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*arguments: object, **options: object) -> None:
        raise RuntimeError(LOST)

    monkeypatch.setattr("model.engine.cuda.runner.CudaRunner", lost)
    monkeypatch.setattr(backends, "resolve_device", lambda name: torch.device("cuda", 0))
    with pytest.raises(RuntimeError, match=LOST):
        backends.build_runners(tiny_transformer(), EngineConfig(backend="cuda"))


@pytest.mark.parametrize(("device", "index"), [("cuda", 1), ("cuda:0", 0)])
def test_a_process_with_a_share_of_a_device_is_held_to_it(
    monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    limited: list[tuple[float, int]] = []
    # PyTorch's own function, up to where CUDA begins; device 1 is the current one.
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch._C, "_cuda_setMemoryFraction", lambda *each: limited.append(each), raising=False
    )
    monkeypatch.setattr("model.engine.cuda.runner.CudaRunner", lambda *args, **options: options)
    monkeypatch.setattr(backends, "resolve_device", lambda name: torch.device(device))
    [options] = backends.build_runners(
        tiny_transformer(), EngineConfig(backend="cuda", gpu_share=0.25)
    )
    assert options["memory_share"] == 0.25  # type: ignore[index]
    assert limited == [(0.25, index)]


def test_a_share_of_a_device_has_room_for_a_share_of_the_slots() -> None:
    whole = make_runner(DeferredStream(), max_slots=9).budget.total
    stream = DeferredStream(free_bytes=4 * whole)
    assert make_runner(stream, memory_share=0.25, max_slots=None).max_slots == 9
    with pytest.raises(InvalidRequestError, match="`max_slots` must be lower than 9"):
        make_runner(stream, memory_share=0.2, max_slots=9)


def test_what_other_engines_of_the_process_have_is_no_part_of_its_share_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (70, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20)
    stream = CudaStream.__new__(CudaStream)  # its constructor needs a device
    stream.device = torch.device("cuda")
    assert stream.free_bytes() == 70
    assert stream.free_bytes(0.5) == 30
