"""The type that products are computed in; weights stay float32."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from model.errors import RecipeError

__all__ = ["Precision", "compute_dtype"]

Precision = Literal["auto", "float32", "bfloat16", "int8"]
""""auto" is bfloat16 where the hardware multiplies it natively, float32 elsewhere. "int8" is for
CPUs: the products of linear layers and of the loss (model/training/int8.py)."""


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What `precision` means on `device`; of int8, for all but its products.

    Raises:
        RecipeError: the device cannot train like this.
    """
    if precision == "int8" and device.type != "cpu":
        raise RecipeError(f"precision int8 trains on a CPU, but the device is {device.type}")
    if precision == "auto":
        native = (
            _cpu_has_bfloat16()
            if device.type == "cpu"
            else torch.cuda.is_bf16_supported(including_emulation=False)
        )
        precision = "bfloat16" if native else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _cpu_has_bfloat16() -> bool:
    # Without native products bfloat16 is emulated, which is slower than float32.
    return (
        bool(torch.backends.cpu.get_cpu_capability() == "AVX512") and "avx512_bf16" in _cpu_flags()
    )


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
