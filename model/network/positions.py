"""The positional encodings of section 3.5: no torch in here."""

from __future__ import annotations

import math

import numpy as np

from model.network.weights import Floats

__all__ = ["sinusoidal_positions"]


def sinusoidal_positions(num_positions: int, d_model: int, *, interleaved: bool = True) -> Floats:
    """The positional encodings of section 3.5, (num_positions, D), float32.

        PE(pos, 2i)   = sin(pos / 10000^(2i / D))
        PE(pos, 2i+1) = cos(pos / 10000^(2i / D))

    Args:
        interleaved: False puts all sines before all cosines.
    """
    position = np.arange(num_positions, dtype=np.float64)[:, None]
    even = np.arange(0, d_model, 2, dtype=np.float64)
    angle = position * np.exp(even * (-math.log(10_000.0) / d_model))
    halves = np.sin(angle), np.cos(angle)
    if interleaved:
        table = np.stack(halves, axis=-1).reshape(num_positions, -1)
    else:
        table = np.concatenate(halves, axis=1)
    return table.astype(np.float32)
