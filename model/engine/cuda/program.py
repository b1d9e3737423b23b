"""What a device computes for `CudaRunner`: `DeviceModel`, or what takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

__all__ = ["DeviceProgram"]


class DeviceProgram(Protocol):
    """Two pieces of work on slots, which graphs can hold."""

    def encode(self, tokens: Tensor, blocks: Tensor) -> None:
        """Prepares the slots of packed sources: see `DeviceModel.encode`."""

    def step(
        self,
        rows: Tensor,
        flags: Tensor,
        *,
        constrained: bool,
        restricted: bool = False,
        aligned: bool = False,
        lexical: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    ) -> None:
        """Takes the searches in `rows` one step on: see `DeviceModel.step`."""
