"""What may stand in the place of a decoder's self-attention: layers with one vector of state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network.target_past import TargetPast

__all__ = ["SSRU", "AverageAttention"]


class SSRU(nn.Module):
    """A simpler simple recurrent unit (Kim et al., 2019).

    y(t) = relu(c(t)), c(t) = f(t) c(t - 1) + (1 - f(t)) W x(t), f(t) = sigmoid(W' x(t) + b')
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.input = nn.Linear(d_model, d_model, bias=False)
        self.forget = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, past: TargetPast) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return F.relu(past.recur(torch.sigmoid(self.forget(x)), self.input(x)))


class AverageAttention(nn.Module):
    """The gated mean of all inputs so far (Zhang et al., 2018).

    y = i x + f g, where g is the mean m, or W2 silu(W1 m + b1) + b2 of it, and the gates are
    i = sigmoid(Wi x + bi) and f = sigmoid(Wf g + bf).

    Args:
        d_average: inner width of the network over the mean; 0: there is none.
    """

    def __init__(self, d_model: int, d_average: int) -> None:
        super().__init__()
        self.inner = nn.Linear(d_model, d_average) if d_average else None
        self.outer = nn.Linear(d_average, d_model) if d_average else None
        self.input_gate = nn.Linear(d_model, d_model)
        self.forget_gate = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mean: Tensor) -> Tensor:
        """(B, T, D), and the mean up to each position -> (B, T, D)."""
        if self.inner is not None and self.outer is not None:
            mean = self.outer(F.silu(self.inner(mean)))
        kept = torch.sigmoid(self.input_gate(x)) * x
        return kept + torch.sigmoid(self.forget_gate(mean)) * mean
