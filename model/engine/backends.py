"""Which backend and which runners a configuration stands for on this machine.

torch is imported where it is needed: for another backend than the native one, and to look for CUDA
where there is a GPU.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from model.config import EngineConfig, GenerationConfig
from model.engine.cpus import granted_cpus
from model.engine.runner import Runner
from model.errors import BackendUnavailableError, InvalidRequestError

if TYPE_CHECKING:
    import torch

    from model.network.weights import Weights

__all__ = [
    "BackendName",
    "build_runners",
    "check_device",
    "chosen_backend",
    "chosen_dtype",
    "fallback_note",
    "gpu_is_lost",
    "may_fall_back",
    "may_use_cuda",
    "num_slots",
    "num_threads",
    "resolve_device",
    "resolve_dtype",
]

BackendName = Literal["native", "cuda", "eager"]

_TORCH_DTYPES = ("float32", "bfloat16", "float64")
_DEVICE_TYPES = {"native": "cpu", "cuda": "cuda"}
"""The only one that a backend computes on."""

_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""Device files of drivers: NVIDIA's, its Jetson's, Windows', and AMD's, CUDA to PyTorch too."""

_NATIVE_SLOTS = 64
"""Slots of each worker: 32 to 128 give the same tokens a second, greedy or with a beam of 4."""
_EAGER_SLOTS = 128


def chosen_backend(config: EngineConfig) -> BackendName:
    """The backend that `config` asks for; "auto" is the fast one of the device and the type.

    It may still be impossible to have: `build_runners` and `model.engine.native.build` find out.
    Only with the device "auto", and where there may be a GPU, is torch imported, to look for CUDA.
    """
    if config.backend in ("native", "cuda", "eager"):
        return config.backend  # type: ignore[return-value]
    if config.dtype == "float64":
        return "eager"  # the others do not have it
    return "cuda" if _device_type(config.device) == "cuda" else "native"


def chosen_dtype(config: EngineConfig) -> str:
    """The type that `config` asks for; "auto" is the usual one of the chosen backend."""
    if config.dtype != "auto":
        return config.dtype
    backend = chosen_backend(config)
    if backend == "native":
        return "int8"
    on_cuda = backend == "cuda" or _device_type(config.device) == "cuda"
    return "bfloat16" if on_cuda else "float32"


def build_runners(
    weights: Weights,
    config: EngineConfig,
    *,
    searches: Sequence[GenerationConfig] = (),
    shortlisted: bool = False,
) -> list[Runner]:
    """The runners that `config` stands for on this machine, one for each worker of the engine.

    With the backend "auto", what cannot be had is replaced by the eager runner, whose `notes` say
    so.

    Args:
        weights: belong to the runners from now on.
        searches: those that are expected, for runners that prepare for some.
        shortlisted: whether these have shortlists.

    Raises:
        CheckpointError: a weight cannot be read.
        InvalidRequestError: the device does not exist, or not for this backend.
        BackendUnavailableError: the backend that was asked for, by name or by a type that only it
            has, cannot run here.
    """
    check_device(config)
    backend = chosen_backend(config)
    notes: tuple[str, ...] = ()
    if backend != "eager":
        try:
            if backend == "cuda":
                return _cuda_runners(weights, config, searches, shortlisted=shortlisted)
            return _native_runners(weights, config)
        except BackendUnavailableError as error:
            if not may_fall_back(config):
                raise
            notes = (fallback_note(error),)
    return _eager_runners(weights, config, notes)


def check_device(config: EngineConfig) -> None:
    """Looks for the device that `config` asks for; for a CPU without torch.

    Raises:
        InvalidRequestError: it does not exist, or not for this backend, or the name is unknown.
    """
    name = _device_name(config)
    if name not in ("auto", "cpu"):
        resolve_device(name)


def may_use_cuda(config: EngineConfig) -> bool:
    """Whether the engine computes on CUDA where there is a GPU; imports no torch."""
    return _device_name(config).split(":")[0] != "cpu"


def may_fall_back(config: EngineConfig) -> bool:
    """Whether plain PyTorch may take the place of a backend that cannot be had; not where it is not
    installed."""
    return config.backend == "auto" and config.dtype != "int8" and _has_torch()


def fallback_note(error: BackendUnavailableError) -> str:
    """What an operator should read once where it does."""
    return f"the engine runs on plain PyTorch, which is slower: {error}"


def resolve_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one.

    Raises:
        InvalidRequestError: CUDA is asked for and there is none, or the name is unknown.
        BackendUnavailableError: PyTorch, which looks for it, is not installed.
    """
    _require_torch(f"the device {name}")
    import torch

    name = _device_type(name) if name == "auto" else name
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidRequestError(f"`device` must be auto, cpu or cuda, but is {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequestError(f"`device` must be auto, cpu or cuda, but is {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidRequestError(
            f"`device` is {name!r}, but PyTorch finds {torch.cuda.device_count()} CUDA devices here"
        )
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """PyTorch's own types: "auto" is float32 on the CPU and bfloat16 on CUDA.

    Raises:
        BackendUnavailableError: the type is int8, which only the native backend computes in.
    """
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _TORCH_DTYPES:
        raise BackendUnavailableError(
            f"`dtype` must be auto, {', '.join(_TORCH_DTYPES)} without the native backend, "
            f"but is {name!r}"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _device_type(name: str) -> str:
    """ "cuda" for "cuda:0"; "auto" is "cuda" or "cpu"."""
    if name != "auto":
        return name.split(":")[0]
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not _gpu_driver():
        return "cpu"
    if not _has_torch():
        return "cpu"  # without it there is no engine for a GPU
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    try:
        return find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


def _require_torch(what: str) -> None:
    if not _has_torch():
        raise BackendUnavailableError(
            f"{what} needs PyTorch, which is not installed: `pip install torch`, or the device cpu "
            "with the native engine, which needs none"
        )


def _gpu_driver() -> bool:
    """Whether a driver that PyTorch could use is loaded; else there is no need to ask it."""
    return any(map(os.path.exists, _GPU_DRIVERS))


def _device_name(config: EngineConfig) -> str:
    needed = _DEVICE_TYPES.get(config.backend)
    if needed is None:
        return config.device
    if config.device != "auto" and _device_type(config.device) != needed:
        raise InvalidRequestError(
            f"`device` must be {needed} with the backend {config.backend}, but is {config.device!r}"
        )
    return needed if config.device == "auto" else config.device


def _native_runners(weights: Weights, config: EngineConfig) -> list[Runner]:
    """One for each thread, around one set of weights, with even shares of the slots."""
    from model.engine.native.runner import build_native_runners

    max_slots = num_slots(config)
    num_workers = min(num_threads(config), max_slots)
    share, left = divmod(max_slots, num_workers)
    shares = [share + (worker < left) for worker in range(num_workers)]
    return [*build_native_runners(weights, dtype=chosen_dtype(config), max_slots=shares)]


def _cuda_runners(
    weights: Weights,
    config: EngineConfig,
    searches: Sequence[GenerationConfig],
    *,
    shortlisted: bool,
) -> list[Runner]:
    _require_torch("the backend cuda")
    import torch

    from model.engine.cuda.runner import CudaRunner

    device = resolve_device(_device_name(config))
    dtype = resolve_dtype(config.dtype, device)
    expected: dict[str, Any] = {}
    if searches:
        expected = {"beams": (), "searches": searches, "shortlisted": shortlisted}
    if config.gpu_share < 1:
        # Or what one process keeps for later would be missing where another one has its share.
        torch.cuda.set_per_process_memory_fraction(config.gpu_share, device.index)
    try:
        return [
            CudaRunner(
                weights.transformer(),
                device=device,
                dtype=dtype,
                max_slots=config.max_slots,
                memory_share=config.gpu_share,
                **expected,
            )
        ]
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        # The budget was right, and somebody else was faster. What there is of a runner is held by
        # the error's frames, and what it gives back, by PyTorch: others may have it.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        torch.cuda.empty_cache()
        raise InvalidRequestError(
            f"{device} must have memory for the model and its slots, but has too little: other "
            f"processes use it, or `max_slots` is too high ({error})"
        ) from error


def gpu_is_lost(device: str) -> bool:
    """Whether CUDA fails this process by now, whatever it asks: an error of a kernel or of the GPU
    itself stays until the process ends. False where the process has not used CUDA.

    What is asked waits for nothing, and disturbs no graph that is captured meanwhile.

    Args:
        device: as an engine's configuration names it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        index = torch.device(device).index if device.startswith("cuda") else None
    except RuntimeError:  # no name of a device
        return False
    index = torch.cuda.current_device() if index is None else index
    if index >= torch.cuda.device_count():
        return False
    try:
        torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        return not _is_out_of_memory(error)
    return False


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has too little memory: PyTorch's allocator has an error for it, the driver,
    its libraries and Triton say it in words."""
    import torch

    words = ("out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error) for each in words)


def _eager_runners(weights: Weights, config: EngineConfig, notes: tuple[str, ...]) -> list[Runner]:
    _require_torch("the backend eager")
    from model.engine.eager.runner import EagerRunner

    device = resolve_device(_device_name(config))
    return [
        EagerRunner(
            weights.transformer(),
            device=device,
            dtype=resolve_dtype(config.dtype, device),
            max_slots=config.max_slots or _EAGER_SLOTS,
            num_threads=num_threads(config),
            notes=notes,
        )
    ]


def num_threads(config: EngineConfig) -> int:
    """The CPUs that this process may use, unless the configuration says."""
    return granted_cpus() if config.num_threads is None else config.num_threads


def num_slots(config: EngineConfig) -> int:
    """Rows of the cache on a CPU."""
    if config.max_slots is not None:
        return config.max_slots
    native = chosen_backend(config) == "native"
    return num_threads(config) * _NATIVE_SLOTS if native else _EAGER_SLOTS
