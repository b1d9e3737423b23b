"""How much arrives: sentences per second as a function of the time, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["Traffic", "constant", "daily", "draw_tokens", "spike"]

DAY_SECONDS = 86_400.0

Traffic = Callable[[float], float]
"""Sentences per second at a time in seconds."""


def constant(rate: float) -> Traffic:
    """Always the same."""
    return lambda _: rate


def daily(lowest: float, highest: float) -> Traffic:
    """A day: lowest at 4 in the morning, highest at 4 in the afternoon; a sine in the logarithm.

    Between the two it grows and falls by the same share each minute, which is harder to follow than
    the same number.
    """
    middle = (math.log(highest) + math.log(lowest)) / 2
    swing = (math.log(highest) - math.log(lowest)) / 2

    def rate(now: float) -> float:
        phase = 2 * math.pi * (now - 10 * 3600) / DAY_SECONDS
        return math.exp(middle + swing * math.sin(phase))

    return rate


def spike(base: float, factor: float, *, begin: float, end: float, ramp: float) -> Traffic:
    """`base`, and `factor` times as much from `begin` to `end`, reached within `ramp` seconds."""

    def rate(now: float) -> float:
        up = min(max((now - begin) / ramp, 0.0), 1.0)
        down = min(max((now - end) / ramp, 0.0), 1.0)
        return base * (1 + (factor - 1) * (up - down))

    return rate


def draw_tokens(
    generator: np.random.Generator,
    sentences: np.ndarray,
    *,
    mean: float,
    variation: float,
) -> np.ndarray:
    """Tokens of so many sentences together, for each entry of `sentences`.

    A sentence's tokens have a gamma distribution, so the sum of n is drawn at once; `variation` 1
    makes it exponential, 0 makes all sentences alike.
    """
    if variation == 0:
        return sentences * mean
    shape = 1 / variation**2
    drawn: np.ndarray = generator.gamma(sentences * shape, mean / shape)
    return drawn
