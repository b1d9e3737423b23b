"""Runners for measuring, and sequences for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from loadtests.bench.contender import TokenIds
from model.config import GenerationConfig
from model.decoding.search import Hypothesis
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.runner import CudaRunner
from model.engine.cuda.stream import CudaStream, DeviceStream
from model.engine.runner import Runner
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from model.engine.slots import SlotPool
from model.network.transformer import Transformer

__all__ = ["Maker", "UncapturedStream", "cuda_runner", "drive", "sequences"]

_LEAST_ADMISSION = 1 / 8
"""Share of the slots that must be free for newcomers, as in the engine's scheduler."""


class Maker(Protocol):
    """Makes runners; those of a rehearsal have no device."""

    def __call__(
        self,
        transformer: Transformer,
        *,
        dtype: torch.dtype,
        max_slots: int,
        captured: bool = True,
        beams: tuple[int, ...] = (1, 4),
    ) -> CudaRunner: ...


class UncapturedStream(CudaStream):
    """Does at once what a graph would do later: the reference implementation of graphs."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.run(work)
        return lambda: self.run(work)


def cuda_runner(
    transformer: Transformer,
    *,
    dtype: torch.dtype,
    max_slots: int,
    captured: bool = True,
    beams: tuple[int, ...] = (1, 4),
    stream: DeviceStream | None = None,
    operations: Operations | None = None,
) -> CudaRunner:
    """On the first CUDA device, unless a stream of another one is given."""
    if stream is None:
        device = torch.device("cuda", 0)
        stream = CudaStream(device) if captured else UncapturedStream(device)
    return CudaRunner(
        transformer,
        device=stream.device,
        dtype=dtype,
        max_slots=max_slots,
        stream=stream,
        operations=operations,
        beams=beams,
    )


def sequences(
    sources: Iterable[TokenIds], generation: GenerationConfig, max_positions: int
) -> list[Sequence]:
    """As the engine would make them."""
    return [
        Sequence(
            source_ids=tuple(source),
            generation=generation,
            max_new_tokens=generation.target_limit(len(source), max_positions),
            arrived_at=time.monotonic(),
        )
        for source in sources
    ]


def drive(runner: Runner, wanted: list[Sequence]) -> list[tuple[Hypothesis, ...]]:
    """Translates everything without an engine around: what is left is the runner's own time.

    Returns:
        The hypotheses, in the order of `wanted`.
    """
    pool = SlotPool(runner.max_slots)
    waiting = wanted[::-1]
    found: dict[Sequence, tuple[Hypothesis, ...]] = {}
    while len(found) < len(wanted):
        newcomers = []
        if waiting and pool.num_free >= max(
            waiting[-1].beam_size, _LEAST_ADMISSION * runner.max_slots
        ):
            while waiting and pool.num_free >= waiting[-1].beam_size:
                sequence = waiting.pop()
                sequence.slots = pool.acquire(sequence.beam_size)
                newcomers.append(sequence)
        plan = StepPlan(removed=(), newcomers=tuple(newcomers), max_steps=16)
        for sequence, hypotheses in runner.execute(plan).finished:
            found[sequence] = hypotheses
            pool.release(sequence.slots)
    return [found[sequence] for sequence in wanted]
