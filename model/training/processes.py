"""The processes of one run: one, or as many as torchrun starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Processes", "started_by_torchrun"]

_PATIENCE = timedelta(days=7)
"""While the first process prepares text or validates. Whoever dies is noticed at once."""


def started_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun watches."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@dataclass(frozen=True)
class Processes:
    """This process among those that train one model together."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Among the processes of this machine: which of its GPUs is ours."""
    patient: dist.ProcessGroup | None = None
    """The same processes, for waiting until one has done what takes hours."""

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator[Processes]:
        """Within it, a member of the group that torchrun's environment describes; else alone."""
        if not started_by_torchrun():
            yield cls()
            return
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank)
            dist.init_process_group("nccl")
        else:
            # Who trains on idle CPUs may be stopped for hours.
            dist.init_process_group("gloo", timeout=_PATIENCE)
        patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
        try:
            yield cls(dist.get_rank(), dist.get_world_size(), local_rank, patient)
        finally:
            dist.destroy_process_group()

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        if torch.cuda.is_available():
            return torch.device("cuda", self.local_rank)
        return torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and speaks: the one of rank 0."""
        return self.rank == 0

    def distribute(self, module: nn.Module) -> nn.Module:
        """`module`, with gradients that are the mean over all processes."""
        if self.count == 1:
            return module
        return DistributedDataParallel(
            module, broadcast_buffers=False, gradient_as_bucket_view=True
        )

    def summed(self, values: Tensor) -> Tensor:
        """The sum of everyone's `values`."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """What the first process gives, for all; the others wait for it."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.patient)
        return values[0]

    def anyone(self, requested: bool) -> bool:
        """Whether it is requested in any process."""
        if self.count == 1:
            return requested
        requests = torch.tensor(int(requested))
        dist.all_reduce(requests, dist.ReduceOp.MAX, group=self.patient)
        return bool(requests)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier(group=self.patient)
