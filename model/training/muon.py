"""Muon: updates whose singular values are all about one, for the matrices within the layers.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the
scale of J. Liu et al., "Muon is Scalable for LLM Training" (2025), section 2.2. PyTorch's own
multiplies in bfloat16: five times as slow as float32 on a CPU of AVX-512 that emulates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalized"]

_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Factors of the iteration's polynomial: what raises small singular values fastest."""
_ITERATIONS = 5
_RMS = 0.2
"""Root mean square of an update for a learning rate of 1: about what Adam's has."""


def orthogonalized(matrix: Tensor) -> Tensor:
    """The matrix (M, N) with its singular values brought to between 0.5 and 1.5, about.

    Five steps of a Newton-Schulz iteration; those below a thousandth of the largest stay small.
    """
    tall = matrix.size(0) > matrix.size(1)
    a, b, c = _COEFFICIENTS
    # By this norm no singular value is above one, where the iteration would diverge.
    x: Tensor = matrix / matrix.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    x = x.t() if tall else x
    for _ in range(_ITERATIONS):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's), orthogonalized, as large as an update of Adam.

    Args:
        params: matrices only.
        lr: the learning rate, of the size that Adam's has.
        momentum: share of the sum of past gradients that stays.
        weight_decay: share of a weight that an update takes off, times the learning rate.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("Muon must be called without a closure, but was given one")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        momentum, rate = group["momentum"], group["lr"]
        state = self.state[weight]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(grad)
        mean: Tensor = state["mean"].lerp_(grad, 1.0 - momentum)
        update = orthogonalized(grad.lerp(mean, momentum))
        weight.mul_(1.0 - rate * group["weight_decay"])
        # An orthogonal (M, N) has a root mean square of max(M, N)^-0.5.
        weight.add_(update, alpha=-rate * _RMS * max(weight.shape) ** 0.5)
