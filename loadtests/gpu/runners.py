"""Runners for measuring: with graphs or without, on a device or in a rehearsal."""

from __future__ import annotations

from collections.abc import Callable

import torch

from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.runner import CudaRunner
from model.engine.cuda.stream import CudaStream, DeviceStream
from model.network.transformer import Transformer

__all__ = ["Maker", "UncapturedStream", "cuda_runner"]


Maker = Callable[..., CudaRunner]
"""`cuda_runner`, or what takes its arguments and needs no device."""


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
