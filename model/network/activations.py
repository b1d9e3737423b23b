"""The non-linearities of the feed-forward network, as functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import Activation

__all__ = ["ACTIVATIONS"]


def _gelu_sigmoid(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.RELU: F.relu,
    Activation.GELU: F.gelu,
    Activation.GELU_TANH: partial(F.gelu, approximate="tanh"),
    Activation.GELU_SIGMOID: _gelu_sigmoid,
    Activation.SILU: F.silu,
}
"""Functions of tensors of any shape, element by element."""
