"""What this device can do, measured: bytes moved and numbers multiplied in a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.benchmark import Timer

from model.config import TransformerConfig

__all__ = ["Ceilings", "StepWork"]


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The most that one device can do."""

    bytes_per_second: float
    """Bytes that a copy within the device reads and writes."""
    flops: float
    """Operations of a large bfloat16 product; a multiplication and an addition count two."""

    @classmethod
    def measured(cls, *, device: str = "cuda", size: int = 2**31, width: int = 8192) -> Ceilings:
        """On random numbers: zeros take less power, and so less time.

        Args:
            size: bytes that are copied.
            width: of the square matrices that are multiplied.
        """
        source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        copying = _seconds(lambda: target.copy_(source))
        a, b = torch.randn(2, width, width, device=device).bfloat16()
        multiplying = _seconds(lambda: a @ b)
        return cls(bytes_per_second=2 * size / copying, flops=2 * width**3 / multiplying)


@dataclass(frozen=True, kw_only=True)
class StepWork:
    """The least that a decode step must do."""

    weight_bytes: float
    cache_bytes: float
    flops: float

    @classmethod
    def of(
        cls,
        config: TransformerConfig,
        *,
        groups: int,
        beams: int,
        position: float,
        source_len: float,
        num_bytes: int,
    ) -> StepWork:
        """The work of a step of `groups` sources: each weight and each cached number is read once.

        The beams of a source share its entry; how much of their past they share is not counted.
        """
        width, layers = config.d_model, config.num_decoder_layers
        per_layer = 6 * width * width + 2 * width * config.d_ff
        weights = layers * per_layer + config.tgt_vocab_size * width
        rows = groups * beams
        cached = 2 * layers * width * (rows * (position + 1) + groups * source_len)
        attention = 4 * layers * width * rows * (position + 1 + source_len)
        return cls(
            weight_bytes=float(weights * num_bytes),
            cache_bytes=cached * num_bytes,
            flops=2.0 * weights * rows + attention,
        )

    def seconds(self, ceilings: Ceilings) -> float:
        """No step is faster: products need their weights, and what they multiply."""
        reading = self.weight_bytes / ceilings.bytes_per_second
        return max(reading, self.flops / ceilings.flops) + (
            self.cache_bytes / ceilings.bytes_per_second
        )


def _seconds(work: Callable[[], object]) -> float:
    """The median time of many calls, until the device has done them."""
    timer = Timer("work()", globals={"work": work})
    return float(timer.blocked_autorange(min_run_time=0.2).median)
