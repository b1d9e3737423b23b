"""What the engine asks of a device, and which runners a configuration stands for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch

from model.config import EngineConfig
from model.decoding.search import Hypothesis
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.errors import BackendUnavailableError, InvalidRequestError
from model.transformer import Transformer

__all__ = [
    "FinishedSequence",
    "Runner",
    "StepOutcome",
    "build_runners",
    "resolve_device",
    "resolve_dtype",
]

_TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
_DEVICE_TYPES = {"native": "cpu", "cuda": "cuda"}
"""The only one that a backend computes on."""

_NATIVE_SLOTS = 64
"""Of each worker: 32 to 128 give the same tokens a second, greedy or with a beam of 4."""
_EAGER_SLOTS = 128


class FinishedSequence(NamedTuple):
    """A sequence whose search is done."""

    sequence: Sequence
    hypotheses: tuple[Hypothesis, ...]
    """Best first, at least one, at most `num_hypotheses`."""


@dataclass(kw_only=True)
class StepOutcome:
    """What came of one plan."""

    finished: list[FinishedSequence] = field(default_factory=list)
    steps: int = 0
    """Decode steps taken."""
    rows: int = 0
    """Hypotheses decoded, summed over the steps."""
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


class Runner(Protocol):
    """A device, its share of the slots, and the searches of the sequences that run on it.

    One thread of the engine calls `execute` and `close`; `interrupt` comes from any thread.
    A runner remembers the sequences it was given until it reports them finished or is told that
    they were removed.
    """

    max_slots: int
    device: str
    """Where it computes: "cpu", "cuda:0". For information, as is `dtype`."""
    dtype: str
    """What it computes in: "float32", "bfloat16", "float64" or "int8"."""
    notes: tuple[str, ...]
    """What an operator should read once, such as why it is not the faster one; usually nothing."""

    def execute(self, plan: StepPlan) -> StepOutcome:
        """Forgets the removed, encodes the newcomers, decodes everybody who runs.

        Returns after the first step in which a sequence finished, after `plan.max_steps` steps,
        after the step during which it was interrupted, or when nobody runs. A runner that reads
        its device late may report a finish one call later.

        Sets `encode_seconds`, `encoded_at` and `first_token_at` of the sequences.

        Raises:
            RuntimeError: the model's predictions are not finite. They stay in the cache, so the
                engine must not go on. Any other exception ends the engine as well.
        """

    def interrupt(self) -> None:
        """Makes the running `execute`, or else the next one, return after its current step.

        Never blocks.
        """

    def close(self) -> None:
        """Gives back what the runner holds; nothing is executed any more."""


def build_runners(model: Transformer, config: EngineConfig) -> list[Runner]:
    """The runners that `config` stands for on this machine, one for each worker of the engine.

    With the backend "auto", what cannot be had is replaced by the eager runner, whose `notes` say
    so.

    Args:
        model: belongs to the runners from now on.

    Raises:
        InvalidRequestError: the device does not exist, or not for this backend.
        BackendUnavailableError: the backend that was asked for, by name or by a type that only it
            has, cannot run here.
    """
    device = resolve_device(_device_name(config))
    backend = config.backend
    if backend == "auto":
        backend = "cuda" if device.type == "cuda" else "native"
    notes: tuple[str, ...] = ()
    if backend != "eager":
        try:
            if backend == "cuda":
                return _cuda_runners(model, config, device)
            return _native_runners(model, config)
        except BackendUnavailableError as error:
            if config.backend != "auto" or config.dtype == "int8":
                raise
            notes = (f"the engine runs on plain PyTorch, which is slower: {error}",)
    return _eager_runners(model, config, device, notes)


def resolve_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one.

    Raises:
        InvalidRequestError: CUDA is asked for and there is none, or the name is unknown.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _TORCH_DTYPES:
        raise BackendUnavailableError(
            f"`dtype` must be auto, {', '.join(_TORCH_DTYPES)} without the native backend, "
            f"but is {name!r}"
        )
    return _TORCH_DTYPES[name]


def _device_name(config: EngineConfig) -> str:
    needed = _DEVICE_TYPES.get(config.backend)
    if needed is None:
        return config.device
    if config.device.split(":")[0] not in ("auto", needed):
        raise InvalidRequestError(
            f"`device` must be {needed} with the backend {config.backend}, but is {config.device!r}"
        )
    return needed if config.device == "auto" else config.device


def _native_runners(model: Transformer, config: EngineConfig) -> list[Runner]:
    """One for each thread, around one set of weights, with even shares of the slots."""
    from model.engine.native_runner import build_native_runners

    num_threads = _num_threads(config)
    max_slots = config.max_slots or num_threads * _NATIVE_SLOTS
    num_workers = min(num_threads, max_slots)
    share, left = divmod(max_slots, num_workers)
    dtype = "int8" if config.dtype == "auto" else config.dtype
    shares = [share + (worker < left) for worker in range(num_workers)]
    return [*build_native_runners(model, dtype=dtype, max_slots=shares)]


def _cuda_runners(model: Transformer, config: EngineConfig, device: torch.device) -> list[Runner]:
    from model.engine.cuda_runner import CudaRunner

    dtype = resolve_dtype(config.dtype, device)
    return [CudaRunner(model, device=device, dtype=dtype, max_slots=config.max_slots)]


def _eager_runners(
    model: Transformer, config: EngineConfig, device: torch.device, notes: tuple[str, ...]
) -> list[Runner]:
    from model.engine.eager_runner import EagerRunner

    return [
        EagerRunner(
            model,
            device=device,
            dtype=resolve_dtype(config.dtype, device),
            max_slots=config.max_slots or _EAGER_SLOTS,
            num_threads=_num_threads(config),
            notes=notes,
        )
    ]


def _num_threads(config: EngineConfig) -> int:
    """The CPUs that this process may use, unless the configuration says."""
    if config.num_threads is not None:
        return config.num_threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
