"""A device of the host's own memory: work is done at once, and takes as long as one says.

What computes is either the model itself, on the CPU, or `PlannedSearches`, which computes nothing
and ends each search at its limit: then the host alone is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engine.cuda.kernels.slot_memory import ENDED, Counter, SlotMemory
from model.engine.cuda.stream import Mark

__all__ = ["ImmediateStream", "PlannedSearches"]


class _PassedMark:
    def __init__(self, at: float, now: Callable[[], float]) -> None:
        self.at = at
        self._now = now

    def wait(self) -> None:
        while (left := self.at - self._now()) > 0:
            time.sleep(left)

    def seconds_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _PassedMark)
        return max(0.0, self.at - earlier.at)


class ImmediateStream:
    """`DeviceStream` on the CPU: what is queued has been done when the call returns.

    Time is simulated: marks pass when the device would have come to them.

    Args:
        call_seconds: what each call takes the host, as that of a driver does.
        mark_seconds: what each mark takes the device.
        free_bytes: what the device claims to have.
    """

    def __init__(
        self, *, call_seconds: float = 0.0, mark_seconds: float = 0.0, free_bytes: int = 2**40
    ) -> None:
        self.device = torch.device("cpu")
        self.busy_seconds = 0.0
        """Seconds of work of the simulated device since `reset`."""
        self.num_steps = 0
        """Decode steps since then."""
        self.cpu_seconds = 0.0
        """That computing took this process, and gathering rows, which on a device it would not."""
        self._began = self._free_at = self.now()
        self._call_seconds = call_seconds
        self._mark_seconds = mark_seconds
        self._free_bytes = free_bytes

    def now(self) -> float:
        """Seconds on a clock from which the CPU time is taken that playing a device takes this
        process, and that a device would not take it. Other threads may work meanwhile."""
        return time.perf_counter() - self.cpu_seconds

    def reset(self) -> None:
        """Forgets what was counted."""
        self.busy_seconds = self.cpu_seconds = 0.0
        self.num_steps = 0
        self._began = self._free_at = self.now()

    @property
    def busy_share(self) -> float:
        """The part of the time from `reset` to the end of what is queued in which it worked."""
        ends = max(self._free_at, self.now())
        return self.busy_seconds / (ends - self._began)

    def occupy(self, seconds: float) -> None:
        """What is queued now takes the device so long."""
        self._free_at = max(self._free_at, self.now()) + seconds
        self.busy_seconds += seconds

    def run(self, work: Callable[[], None]) -> None:
        self._call()
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.run(work)
        return lambda: self.run(work)

    def upload(self, values: NDArray[np.generic], out: Tensor | None = None) -> Tensor:
        self._call()
        now = torch.from_numpy(values)
        return now.clone() if out is None else out.copy_(now)

    def download(self, values: Tensor) -> Tensor:
        self._call()
        return values.clone()

    def mark(self) -> Mark:
        self._call()
        self._free_at = max(self._free_at, self.now()) + self._mark_seconds
        return _PassedMark(self._free_at, self.now)

    def fetch(self, table: Tensor, rows: NDArray[np.int64]) -> tuple[Tensor, Mark]:
        self._call()
        began = time.thread_time()
        fetched = table[torch.from_numpy(rows)]
        self.cpu_seconds += time.thread_time() - began
        return fetched, _PassedMark(self.now(), self.now)

    def settle(self) -> None:
        self.mark().wait()

    def free_bytes(self, share: float = 1.0) -> int:
        return int(share * self._free_bytes)

    def release_memory(self) -> None:
        pass

    def _call(self) -> None:
        if self._call_seconds:
            ends = time.perf_counter() + self._call_seconds
            while time.perf_counter() < ends:
                pass


class PlannedSearches:
    """`DeviceProgram` without a model: tokens are random, and each search ends at its limit.

    Args:
        memory: of the slots.
        stream: is told how long encodings and steps take.
        beams: of each search.
        step_seconds: of one decode step, however many rows it has.
        token_seconds: of encoding, for each token of a source.
    """

    def __init__(
        self,
        memory: SlotMemory,
        stream: ImmediateStream,
        *,
        beams: int,
        step_seconds: float = 0.0,
        token_seconds: float = 0.0,
    ) -> None:
        self._stream = stream
        self._beams = beams
        self._step_seconds, self._token_seconds = step_seconds, token_seconds
        self._counters = memory.counters.numpy()
        self._lengths = memory.ended_lengths.numpy()
        generator = np.random.default_rng(0)
        tokens, parents = memory.tokens.numpy(), memory.parents.numpy()
        tokens[:, 1:] = generator.integers(4, 1000, tokens[:, 1:].shape)
        parents[:] = generator.integers(0, beams, parents.shape)
        memory.ended_log_probs.numpy()[:] = generator.uniform(-9, -1, self._lengths.shape)
        memory.ended_beams.numpy()[:] = generator.integers(0, beams, self._lengths.shape)
        memory.ended_tokens.numpy()[:] = ENDED

    def encode(self, tokens: Tensor, blocks: Tensor) -> None:
        """Takes its time, and nothing else."""
        began = time.thread_time()
        count = int(np.count_nonzero(tokens[1].numpy() >= 0))
        # First, for the clock is read then.
        self._stream.cpu_seconds += time.thread_time() - began
        self._stream.occupy(count * self._token_seconds)

    def step(self, rows: Tensor, flags: Tensor, **options: Any) -> None:
        """Each search has one token more, and the last one at its limit."""
        began = time.thread_time()
        counters = self._counters
        slots = rows.numpy()
        leads = slots[:, 0]
        position = counters[Counter.POSITION, leads] + 1
        running = counters[Counter.DONE, leads] == 0
        limit = counters[Counter.LIMIT, leads]
        ends = running & (position >= limit)
        counters[Counter.POSITION, leads] = position - (ends | ~running)
        ended = slots[ends]
        counters[Counter.DONE, ended[:, 0]] = 1
        counters[Counter.ENDED, ended[:, 0]] = self._beams
        self._lengths[ended] = limit[ends][:, None, None]
        done = ends | ~running
        flags.numpy()[:] = np.where(done, 1 + counters[Counter.ENDED, leads], 0)
        self._stream.cpu_seconds += time.thread_time() - began
        self._stream.occupy(self._step_seconds)
        self._stream.num_steps += 1
