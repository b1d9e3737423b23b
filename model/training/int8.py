"""Linear layers and the loss with products in int8, forward and backward, for training on CPUs.

Each row or column of a factor becomes whole numbers from -127 to 127 by a scale of its own, and
sums of their products are exact. Inputs and weights are rounded to the nearest, as when the model
is served in int8. What gradients are made of is rounded at random, to be right in the mean: to the
nearest, what is small beside the largest of its row or column, such as the gradient by nearly every
logit, would always be zero.

    y = x W^T + b           rows of x, rows of W
    dx = dy W               rows of dy, columns of W
    dW = dy^T x             rows of dy again; columns of x, multiplied by the scales of those rows

It pays where the hardware multiplies int8 natively (VNNI), whose products PyTorch hands to oneDNN.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from model.engine.native.build import build
from model.engine.native.c_interface import load
from model.training.loss import fused_projection_loss

__all__ = [
    "Int8TrainingLinear",
    "int8_product",
    "int8_projection_loss",
    "multiplies_int8",
    "quantise_columns",
    "quantise_rows",
    "require_int8",
    "rescale",
    "use_int8",
]

_MULTIPLE = 16
"""The columns of every matrix must be a multiple of it: the lanes of a vector."""
_LOGIT_ROWS = 256
"""That have their logits at a time: 8 MB of 8,000 words. Their gradient, a byte each, is kept."""
_MOST_SUMMED = (2**31 - 1) // 127**2
"""Products that fit into a sum of 32 bits, whatever they are."""


class Int8TrainingLinear(nn.Linear):
    """nn.Linear that multiplies in int8 while it is trained; in evaluation it is nn.Linear."""

    @classmethod
    def sharing(cls, linear: nn.Linear) -> Self:
        """A layer with the parameters of `linear`, not copies of them."""
        layer = cls(
            linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta"
        )
        layer.weight, layer.bias = linear.weight, linear.bias
        return layer.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N), float32 both."""
        if not self.training:
            return F.linear(x, self.weight, self.bias)
        rows = x.reshape(-1, self.in_features).contiguous()
        y: Tensor = _LinearFunction.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y.view(*x.shape[:-1], self.out_features)


def require_int8() -> None:
    """Has the functions for int8 ready, which otherwise the first product would look for.

    Raises:
        BackendUnavailableError: the compiled engine, which has them, cannot be had.
    """
    _library()


def use_int8(model: nn.Module) -> None:
    """Puts Int8TrainingLinear in place of every nn.Linear of a model whose shape allows it."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear and _allowed(child.weight):
                setattr(module, name, Int8TrainingLinear.sharing(child))


def int8_projection_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """`fused_projection_loss` with its products in int8, if the shape of the weight allows it.

    Raises:
        ValueError: a target is none of the weight's rows.
    """
    if not _allowed(weight):
        return fused_projection_loss(hidden, weight, targets, smoothing)
    loss, nll = _ProjectionLoss.apply(hidden.contiguous(), weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss, nll


def _allowed(weight: Tensor) -> bool:
    return all(size % _MULTIPLE == 0 for size in weight.shape)


class _LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        numbers, scales = quantise_rows(x)
        weight_numbers, weight_scales = quantise_rows(weight)
        return rescale(int8_product(numbers, weight_numbers.t()), scales, weight_scales, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous()
        numbers, scales = quantise_rows(grad, at_random=True)
        x_grad, weight_grad = _product_gradients(numbers, scales, x, weight)
        return x_grad, weight_grad, grad.sum(0) if ctx.needs_input_grad[2] else None


class _ProjectionLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        _check_targets(targets, len(weight))
        numbers, scales = quantise_rows(hidden)
        weight_numbers, weight_scales = quantise_rows(weight)
        grad = torch.empty(len(hidden), len(weight), dtype=torch.int8)
        grad_scales = torch.empty(len(hidden))
        losses = torch.zeros(2, dtype=torch.float64)
        for start in range(0, len(hidden), _LOGIT_ROWS):
            rows = slice(start, start + _LOGIT_ROWS)
            losses += _projection_gradient(
                int8_product(numbers[rows], weight_numbers.t()), scales[rows], weight_scales,
                targets[rows], smoothing, grad[rows], grad_scales[rows],
            )  # fmt: skip
        ctx.save_for_backward(*_product_gradients(grad, grad_scales, hidden, weight))
        loss, nll = losses.float()
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        return hidden_grad * grads[0], weight_grad * grads[0], None, None


def _check_targets(targets: Tensor, size: int) -> None:
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < size:
        raise ValueError(
            f"targets must be in [0, {size}), but are from {targets.min()} to {targets.max()}"
        )


def _product_gradients(
    grad: Tensor, grad_scales: Tensor, x: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients by x (T, K) and weight (N, K) of their product, from its own in int8 (T, N)."""
    weight_numbers, weight_scales = quantise_columns(weight)
    x_grad = rescale(int8_product(grad, weight_numbers), grad_scales, weight_scales)
    numbers, scales = quantise_columns(x, grad_scales, at_random=True)
    return x_grad, rescale(int8_product(grad.t(), numbers), None, scales)


# ---- Whole numbers and their products ------------------------------------------------------------


def int8_product(left: Tensor, right: Tensor) -> Tensor:
    """(M, K) x (K, N) in int8 -> (M, N) in int32, exact for numbers from -127 to 127.

    On CPUs of Intel's and AMD's without VNNI, oneDNN's sums saturate. There, products are made in
    float64, which is slower than not to use int8 at all, but goes on with what was begun elsewhere.

    Raises:
        ValueError: K is so large that sums might not fit.
    """
    if left.size(1) > _MOST_SUMMED:
        raise ValueError(f"at most {_MOST_SUMMED} products fit into a sum, not {left.size(1)}")
    if multiplies_int8():
        return torch._int_mm(left, right)
    return torch.mm(left.double(), right.double()).to(torch.int32)


@cache
def multiplies_int8() -> bool:
    """Whether the hardware has exact products in int8: where it has not, int8 is no gain."""
    left = torch.full((16, 64), 127, dtype=torch.int8)
    right = torch.full((64, 16), -127, dtype=torch.int8)
    return bool((torch._int_mm(left, right) == -64 * 127**2).all())


def quantise_rows(x: Tensor, *, at_random: bool = False) -> tuple[Tensor, Tensor]:
    """Whole numbers of (M, K) and a scale for each row: (M, K) in int8 and (M,).

    Args:
        at_random: round up or down at random, so that the mean is right, and not to the nearest.
    """
    numbers, scales = torch.empty_like(x, dtype=torch.int8), torch.empty(len(x))
    _library().ph_quantise_rows(
        _at(x), len(x), x.size(1), _seed(at_random), _at(numbers, torch.int8), _at(scales)
    )
    return numbers, scales


def quantise_columns(
    x: Tensor, row_factors: Tensor | None = None, *, at_random: bool = False
) -> tuple[Tensor, Tensor]:
    """Whole numbers of (M, K) and a scale for each column: (M, K) in int8 and (K,).

    Args:
        row_factors: (M,), by which each row is multiplied before.
        at_random: as for `quantise_rows`.
    """
    numbers, scales = torch.empty_like(x, dtype=torch.int8), torch.empty(x.size(1))
    _library().ph_quantise_columns(
        _at(x), _at(row_factors), len(x), x.size(1), _seed(at_random), _at(numbers, torch.int8),
        _at(scales),
    )  # fmt: skip
    return numbers, scales


def rescale(
    sums: Tensor, row_scales: Tensor | None, column_scales: Tensor, bias: Tensor | None = None
) -> Tensor:
    """(M, N) in int32, by scales of rows (M,) and columns (N,), plus a bias (N,): float32."""
    out = torch.empty(sums.shape)
    _library().ph_rescale(
        _at(sums, torch.int32), len(sums), sums.size(1), _at(row_scales), _at(column_scales),
        _at(bias), _at(out),
    )  # fmt: skip
    return out


def _projection_gradient(
    sums: Tensor, row_scales: Tensor, column_scales: Tensor, targets: Tensor, smoothing: float,
    grad: Tensor, grad_scales: Tensor,
) -> Tensor:  # fmt: skip
    """Fills in the gradient by each logit, in int8; (2,) losses: smoothed and plain, summed."""
    losses = torch.empty(2, dtype=torch.float64)
    logits = torch.empty(sums.size(1))
    _library().ph_projection_gradient(
        _at(sums, torch.int32), len(sums), sums.size(1), _at(row_scales), _at(column_scales),
        _at(targets, torch.int64), smoothing, _seed(True), _at(logits), _at(grad, torch.int8),
        _at(grad_scales), _at(losses, torch.float64),
    )  # fmt: skip
    return losses


def _seed(at_random: bool) -> int:
    """From PyTorch's random numbers; 0 where nothing is random."""
    return int(torch.randint(1, 2**62, (1,))) if at_random else 0


def _at(tensor: Tensor | None, dtype: torch.dtype = torch.float32) -> int | None:
    """Where a tensor begins.

    Raises:
        TypeError: it is not what the compiled functions believe it is.
    """
    if tensor is None:
        return None
    if tensor.dtype != dtype or tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise TypeError(
            f"must be {dtype} on the CPU, without gaps, but is {tensor.dtype} on {tensor.device}"
            f"{'' if tensor.is_contiguous() else ', with gaps'}"
        )
    return tensor.data_ptr()


@cache
def _library() -> ctypes.CDLL:
    return load(build())
