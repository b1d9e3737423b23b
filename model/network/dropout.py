"""Dropout (section 5.4) that does not dominate training on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Dropout", "forget_drawn_factors"]

_POOL_SIZE = 2**22
_DRAWS_PER_POOL = 200


class Dropout(nn.Module):
    """Zeroes each element with probability `p` and scales the others by 1 / (1 - p).

    PyTorch draws one random number per element on a single CPU thread, which costs as much as the
    matrix products around it. On a CPU this takes its factors from a pool instead: a few million of
    them, read from a random place on, and drawn anew after 200 uses; there `p` is rounded to a
    multiple of 1/256. Other devices, and compiled models, use PyTorch's own.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape; the identity in evaluation."""
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p)
        return x * _pool(self.p, x.dtype).draw(x.numel()).view(x.shape)


class _FactorPool:
    """Factors of dropout: zero, or what keeps the mean."""

    def __init__(self, p: float, dtype: torch.dtype) -> None:
        self._dropped = min(max(1, round(p * 256)), 255)
        self._dtype = dtype
        self._factors = torch.empty(0, dtype=dtype)
        self._draws_left = 0

    def draw(self, count: int) -> Tensor:
        """(count,) factors."""
        if self._draws_left == 0 or len(self._factors) < 2 * count:
            self._refill(max(_POOL_SIZE, 4 * count))
        self._draws_left -= 1
        start = int(torch.randint(len(self._factors) - count, (1,)))
        return self._factors[start : start + count]

    def _refill(self, size: int) -> None:
        draws = torch.empty(size // 8, dtype=torch.int64)
        draws.random_(torch.iinfo(torch.int64).min, None)
        keep = draws.view(torch.uint8) >= self._dropped
        self._factors = keep.to(self._dtype).mul_(256.0 / (256 - self._dropped))
        self._draws_left = _DRAWS_PER_POOL


_pools: dict[tuple[float, torch.dtype], _FactorPool] = {}


def _pool(p: float, dtype: torch.dtype) -> _FactorPool:
    # One pool serves all layers of a model: at most one for each probability and dtype in use.
    return _pools.setdefault((p, dtype), _FactorPool(p, dtype))


def forget_drawn_factors() -> None:
    """The next draws follow from PyTorch's random numbers alone, not from what was drawn before."""
    _pools.clear()
