"""A queue of work on a device, as `CudaRunner` sees it: it queues, and rarely waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CudaStream", "DeviceStream", "Mark"]


class Mark(Protocol):
    """A place in the queue."""

    def wait(self) -> None:
        """Until everything before it has been done. On any thread."""

    def seconds_since(self, earlier: Mark) -> float:
        """Device time between two marks, both of which must have been waited for."""


class DeviceStream(Protocol):
    """Work is done in the order in which it is queued."""

    device: torch.device

    def run(self, work: Callable[[], None]) -> None:
        """Queues what `work` does with tensors of the device."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Does `work` at least once, and gives a function that queues it as cheaply as possible."""

    def upload(self, values: NDArray[np.generic], out: Tensor | None = None) -> Tensor:
        """Queues a copy of `values` as they are now: into `out`, or else into a new tensor."""

    def download(self, values: Tensor) -> Tensor:
        """Queues a copy to the host, to be read once a later mark has been waited for."""

    def mark(self) -> Mark:
        """The present end of the queue."""

    def fetch(self, table: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Mark]:
        """Queues a copy of rows of a table to the host past all that is queued, which must not
        write these rows; what is queued later may. To be read once the mark has been waited for.
        """

    def settle(self) -> None:
        """Waits for everything on the device, also what others have queued."""

    def free_bytes(self, share: float = 1.0) -> int:
        """Memory that can still be allocated, if this process may have a share of the device's."""

    def release_memory(self) -> None:
        """Gives back what nobody holds any more."""


class _CudaMark:
    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.event.record(stream)

    def wait(self) -> None:
        self.event.synchronize()

    def seconds_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _CudaMark)
        milliseconds: float = earlier.event.elapsed_time(self.event)
        return milliseconds / 1000.0


class CudaStream:
    """A stream of a CUDA device, a second one for fetching, and one memory pool for all graphs.

    Graphs share the pool because no two of them run at the same time.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, work: Callable[[], None]) -> None:
        with torch.cuda.stream(self._stream):
            work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        # The first time, kernels are compiled and libraries allocate: nothing for a graph.
        self.run(work)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on calling CUDA.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            work()

        def replay() -> None:
            self.run(graph.replay)

        return replay

    def upload(self, values: NDArray[np.generic], out: Tensor | None = None) -> Tensor:
        # PyTorch keeps pinned memory back until the copies out of it have been done.
        staged = torch.from_numpy(values).pin_memory()
        with torch.cuda.stream(self._stream):
            if out is None:
                return staged.to(self.device, non_blocking=True)
            return out.copy_(staged, non_blocking=True)

    def download(self, values: Tensor) -> Tensor:
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        with torch.cuda.stream(self._stream):
            return host.copy_(values, non_blocking=True)

    def mark(self) -> Mark:
        return _CudaMark(self._stream)

    def fetch(self, table: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Mark]:
        staged = torch.from_numpy(rows).pin_memory()
        host = torch.empty((len(rows), table.size(1)), dtype=table.dtype, pin_memory=True)
        with torch.cuda.stream(self._side):
            picked = table.index_select(0, staged.to(self.device, non_blocking=True))
            host.copy_(picked, non_blocking=True)
        copied = _CudaMark(self._side)
        # Who has these rows next begins with what is queued from now on.
        self._stream.wait_event(copied.event)
        return host, copied

    def settle(self) -> None:
        torch.cuda.synchronize(self.device)

    def free_bytes(self, share: float = 1.0) -> int:
        free, total = torch.cuda.mem_get_info(self.device)
        # Other engines of this process have some of its share.
        return min(free, int(share * total) - torch.cuda.memory_reserved(self.device))

    def release_memory(self) -> None:
        with torch.cuda.device(self.device):
            torch.cuda.empty_cache()
