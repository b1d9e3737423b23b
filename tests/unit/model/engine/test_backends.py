"""Which runners a configuration stands for, here and on other machines."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from model.config import EngineConfig
from model.engine import backends
from model.engine.backends import (
    build_runners,
    check_device,
    chosen_backend,
    chosen_dtype,
    gpu_is_lost,
    may_use_cuda,
    resolve_device,
    resolve_dtype,
)
from model.engine.cpus import granted_cpus
from model.engine.eager.runner import EagerRunner
from model.errors import BackendUnavailableError, InvalidRequestError
from model.translator import Translator
from tests.tiny_model import build_tiny_model, tiny_transformer
from tests.unit.model.engine.fake_runner import FakeRunner

CPU = torch.device("cpu")


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A native backend that remembers what was asked of it."""
    asked = SimpleNamespace(dtype=None, max_slots=None, error=None)

    def build_native_runners(model, *, dtype: str, max_slots: list[int]) -> list[FakeRunner]:
        asked.dtype, asked.max_slots = dtype, max_slots
        if asked.error is not None:
            raise asked.error
        return [FakeRunner(share) for share in max_slots]

    module = SimpleNamespace(build_native_runners=build_native_runners)
    monkeypatch.setitem(sys.modules, "model.engine.native.runner", module)
    return asked


def build(**config: object) -> list:
    return build_runners(tiny_transformer(), EngineConfig(**{"device": "cpu", **config}))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["meta", "mps", "cuda:99", "tpu"])
def test_a_device_that_cannot_be_is_named(device: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"`device` .*is '{device}'"):
        build(device=device)


@pytest.mark.parametrize(
    ("backend", "device", "needed"), [("native", "cuda:0", "cpu"), ("cuda", "cpu", "cuda")]
)
def test_a_backend_has_its_device(backend: str, device: str, needed: str) -> None:
    words = f"`device` must be {needed} with the backend {backend}, but is '{device}'"
    with pytest.raises(InvalidRequestError, match=words):
        build(backend=backend, device=device)


def test_types_of_plain_pytorch() -> None:
    assert resolve_dtype("auto", CPU) is torch.float32
    assert resolve_dtype("auto", torch.device("cuda")) is torch.bfloat16
    assert resolve_dtype("float64", CPU) is torch.float64
    with pytest.raises(BackendUnavailableError, match="without the native backend, but is 'int8'"):
        resolve_dtype("int8", CPU)
    assert resolve_device("cpu") == CPU


def test_a_native_worker_for_each_thread_with_an_even_share(native: SimpleNamespace) -> None:
    assert [runner.max_slots for runner in build(max_slots=128, num_threads=2)] == [64, 64]
    assert [runner.max_slots for runner in build(max_slots=8, num_threads=3)] == [3, 3, 2]
    assert [runner.max_slots for runner in build(max_slots=2, num_threads=9)] == [1, 1]
    assert len(build(max_slots=1024)) == granted_cpus()


def test_slots_grow_with_the_native_workers_unless_told(native: SimpleNamespace) -> None:
    assert [runner.max_slots for runner in build(num_threads=3)] == [64, 64, 64]
    [eager] = build(backend="eager")
    assert eager.max_slots == 128


@pytest.mark.parametrize(
    ("dtype", "taken"), [("auto", "int8"), ("float32", "float32"), ("bfloat16", "bfloat16")]
)
def test_native_is_int8_unless_told(native: SimpleNamespace, dtype: str, taken: str) -> None:
    build(dtype=dtype)
    assert native.dtype == taken


def test_what_cannot_be_had_is_replaced_and_said(native: SimpleNamespace) -> None:
    native.error = BackendUnavailableError("there is no compiler")
    [runner] = build(max_slots=8)
    assert isinstance(runner, EagerRunner)
    assert (runner.max_slots, runner.device, runner.dtype) == (8, "cpu", "float32")
    assert runner.notes == (
        "the engine runs on plain PyTorch, which is slower: there is no compiler",
    )


@pytest.mark.parametrize("config", [{"backend": "native"}, {"dtype": "int8"}])
def test_what_was_asked_for_by_name_is_not_replaced(
    native: SimpleNamespace, config: dict[str, str]
) -> None:
    native.error = BackendUnavailableError("there is no compiler")
    with pytest.raises(BackendUnavailableError, match="there is no compiler"):
        build(**config)


def test_eager_is_plain_pytorch_without_a_note(native: SimpleNamespace) -> None:
    [runner] = build(backend="eager", dtype="float64")
    assert isinstance(runner, EagerRunner)
    assert (runner.dtype, runner.notes) == ("float64", ())
    assert native.dtype is None


@pytest.mark.parametrize(
    ("config", "cuda_here", "backend", "dtype"),
    [
        ({}, False, "native", "int8"),
        ({}, True, "cuda", "bfloat16"),
        ({"device": "cpu"}, True, "native", "int8"),
        ({"device": "cpu", "dtype": "float32"}, True, "native", "float32"),
        ({"device": "cuda:1"}, False, "cuda", "bfloat16"),
        ({"dtype": "float64"}, True, "eager", "float64"),
        ({"backend": "native"}, True, "native", "int8"),
        ({"backend": "cuda", "dtype": "float32"}, False, "cuda", "float32"),
        ({"backend": "eager"}, False, "eager", "float32"),
        ({"backend": "eager"}, True, "eager", "bfloat16"),
    ],
)
def test_auto_is_the_fast_backend_of_device_and_type(
    config: dict[str, str],
    cuda_here: bool,
    backend: str,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda_here)
    monkeypatch.setattr("model.engine.backends._GPU_DRIVERS", ("/dev/null",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    chosen = EngineConfig(**config)  # type: ignore[arg-type]
    assert (chosen_backend(chosen), chosen_dtype(chosen)) == (backend, dtype)


@pytest.mark.parametrize(
    ("config", "drivers", "visible"),
    [
        ({"device": "cpu"}, "/dev/null", None),
        ({"backend": "native"}, "/dev/null", None),
        ({}, "/dev/null/nothing", None),
        # Of a GPU that is not for this process, nobody need ask.
        ({}, "/dev/null", ""),
    ],
)
def test_without_a_gpu_a_choice_imports_no_torch(
    config: dict[str, str], drivers: str, visible: str | None
) -> None:
    program = f"""
import sys
from model.config import EngineConfig
from model.engine import backends
backends._GPU_DRIVERS = ({drivers!r},)
config = EngineConfig(**{config!r})
backends.check_device(config)
print(backends.chosen_backend(config), backends.chosen_dtype(config), "torch" in sys.modules)
"""
    variables = {name: value for name, value in os.environ.items() if "VISIBLE" not in name}
    if visible is not None:
        variables["CUDA_VISIBLE_DEVICES"] = visible
    ran = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "native int8 False\n"


@pytest.mark.parametrize(
    ("config", "may"),
    [
        ({}, True),
        ({"device": "cuda:1"}, True),
        ({"device": "cpu"}, False),
        ({"backend": "native"}, False),
        ({"backend": "cuda"}, True),
        ({"backend": "eager"}, True),
    ],
)
def test_a_gpu_is_for_those_who_would_use_it(config: dict[str, str], may: bool) -> None:
    assert may_use_cuda(EngineConfig(**config)) is may  # type: ignore[arg-type]


def test_without_pytorch_there_is_the_native_engine_or_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setattr(backends, "_gpu_driver", lambda: True)
    usual = EngineConfig()
    assert (backends.chosen_backend(usual), backends.chosen_dtype(usual)) == ("native", "int8")
    assert not backends.may_fall_back(usual)
    check_device(usual)
    for config in (
        EngineConfig(device="cuda"),
        EngineConfig(backend="cuda"),
        EngineConfig(backend="eager"),
        EngineConfig(dtype="float64"),
    ):
        with pytest.raises(BackendUnavailableError, match="needs PyTorch, which is not installed"):
            build_runners(tiny_transformer(), config)


def test_a_models_own_search_is_prepared_for(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its guard, and greedy search beside it, which clients ask for instead."""
    asked: dict[str, object] = {}

    def refuse(model: object, **options: object) -> None:
        asked.update(options)
        raise BackendUnavailableError("it was only asked for")

    monkeypatch.setattr("model.engine.cuda.runner.CudaRunner", refuse)
    monkeypatch.setattr(backends, "chosen_backend", lambda config: "cuda")
    monkeypatch.setattr(backends, "resolve_device", lambda name: CPU)
    own = {"beam_size": 3, "num_hypotheses": 2, "limit_repeats": True}
    directory = build_tiny_model(tmp_path)
    with Translator.load(directory, EngineConfig(device="cpu"), generation=own) as translator:
        assert "it was only asked for" in translator.engine.notes[0]
        searches = translator.engine.searches
    assert asked["searches"] == searches
    assert [(each.beam_size, each.constrained) for each in searches] == [(3, True), (1, True)]
    assert asked["shortlisted"] is False


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[int, RuntimeError | None]:
    """Two GPUs, of which this process uses the second, and with what each of them fails."""
    errors: dict[int, RuntimeError | None] = {0: None, 1: None}

    def mem_get_info(index: int) -> tuple[int, int]:
        if (error := errors[index]) is not None:
            raise error
        return 1, 2

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(errors))
    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    return errors


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (None, False),
        ("CUDA error: unspecified launch failure", True),
        ("CUDA error: out of memory", False),
    ],
)
@pytest.mark.parametrize("device", ["cuda:1", "cuda", "auto"])
def test_a_gpu_that_fails_whatever_is_asked_is_lost(
    cuda: dict[int, RuntimeError | None], message: str | None, device: str, lost: bool
) -> None:
    cuda[1] = None if message is None else RuntimeError(message)
    assert gpu_is_lost(device) is lost


@pytest.mark.parametrize("device", ["cuda:0", "cuda:7", "cuda0", "cuda:x"])
def test_no_other_device_is_lost(cuda: dict[int, RuntimeError | None], device: str) -> None:
    """What names none fails, too, when it is asked."""
    cuda[1] = RuntimeError("CUDA error: unspecified launch failure")
    assert not gpu_is_lost(device)


def test_without_cuda_no_gpu_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert not gpu_is_lost("cuda:0")
