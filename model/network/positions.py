"""The positional encodings of section 3.5: no torch in here."""

from __future__ import annotations

import math

import numpy as np

from model.config import PositionKind
from model.network.weights import Floats

__all__ = ["sinusoidal_positions"]


def sinusoidal_positions(
    num_positions: int, d_model: int, kind: PositionKind = PositionKind.SINUSOIDAL
) -> Floats:
    """The positional encodings of section 3.5, (num_positions, D), float32.

        PE(pos, 2i)   = sin(pos / 10000^(2i / D))
        PE(pos, 2i+1) = cos(pos / 10000^(2i / D))

    Args:
        kind: any but LEARNED; see there what is different.
    """
    half = d_model // 2
    denominator = half - 1 if kind is PositionKind.SINUSOIDAL_FAIRSEQ else half
    position = np.arange(num_positions, dtype=np.float64)[:, None]
    index = np.arange(half, dtype=np.float64)
    angle = position * np.exp(index * (-math.log(10_000.0) / denominator))
    halves = np.sin(angle), np.cos(angle)
    if kind is PositionKind.SINUSOIDAL:
        table = np.stack(halves, axis=-1).reshape(num_positions, -1)
    else:
        table = np.concatenate(halves, axis=1)
    return table.astype(np.float32)
