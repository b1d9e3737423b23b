"""A device of the CPU that does nothing before it must, as a fast host would find a slow device.

Work is queued, and done when somebody waits for a mark behind it. What the host reads or reuses too
early is therefore always wrong, and not only sometimes. Any thread may wait.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engine.cuda.stream import Mark

__all__ = ["DeferredStream"]


class _DeferredMark:
    def __init__(self, stream: DeferredStream) -> None:
        self._stream = stream
        self.passed_at: float | None = None

    def wait(self) -> None:
        while self.passed_at is None:
            self._stream.do_next(unless=self)

    def seconds_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _DeferredMark)
        assert self.passed_at is not None
        assert earlier.passed_at is not None
        return self.passed_at - earlier.passed_at


class DeferredStream:
    """`DeviceStream` of plain functions.

    Args:
        hasty: fetching finds all that is queued done already, as a slow host would.
        free_bytes: what the device claims to have.
    """

    def __init__(self, *, hasty: bool = False, free_bytes: int = 2**40) -> None:
        self.device = torch.device("cpu")
        self.captured = 0
        self._hasty = hasty
        self._free_bytes = free_bytes
        self._queue: deque[Callable[[], None]] = deque()
        self._working = threading.RLock()

    def do_next(self, unless: _DeferredMark | None = None) -> None:
        """Does the oldest piece of work, unless a mark has been passed by another thread."""
        with self._working, torch.inference_mode():
            if unless is None or unless.passed_at is None:
                self._queue.popleft()()

    def run(self, work: Callable[[], None]) -> None:
        self._queue.append(work)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        self.run(work)
        return lambda: self.run(work)

    def upload(self, values: NDArray[np.generic], out: Tensor | None = None) -> Tensor:
        now = torch.from_numpy(values.copy())
        target = _unwritten(now) if out is None else out

        def copy() -> None:
            target.copy_(now)

        self.run(copy)
        return target

    def download(self, values: Tensor) -> Tensor:
        host = _unwritten(values)

        def copy() -> None:
            host.copy_(values)

        self.run(copy)
        return host

    def mark(self) -> Mark:
        mark = _DeferredMark(self)

        def pass_by() -> None:
            mark.passed_at = self._passed_at()

        self.run(pass_by)
        return mark

    def _passed_at(self) -> float:
        """The device's clock, in seconds."""
        return time.perf_counter()

    def fetch(self, table: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Mark]:
        """At once: before all that is queued, or when it is hasty behind it."""
        while self._hasty and self._queue:
            self.do_next()
        copied = _DeferredMark(self)
        copied.passed_at = time.perf_counter()
        return table[torch.from_numpy(rows)], copied

    def settle(self) -> None:
        while self._queue:
            self.do_next()

    def free_bytes(self, share: float = 1.0) -> int:
        return int(share * self._free_bytes)

    def release_memory(self) -> None:
        pass


def _unwritten(like: Tensor) -> Tensor:
    """What must not be read before it has been written."""
    if like.dtype.is_floating_point:
        return torch.full_like(like, float("nan"))
    return torch.full_like(like, 99)
