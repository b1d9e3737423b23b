"""Cross-entropy with label smoothing (section 5.4), fused with the vocabulary projection.

The logits of a batch are its largest tensor by far. `fused_projection_loss` makes them chunk by
chunk, turns each chunk into its own gradient at once, and never holds them all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["chunk_rows", "fused_projection_loss", "reference_loss"]

_CPU_ROWS = 512
_GPU_ROWS = 8192
_GPU_LOGITS = 2**28
"""At most in a chunk, 1 GiB. A GPU wants few launches, a CPU its caches."""


def reference_loss(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The oracle: the summed loss of hidden (N, D) @ weight (V, D)^T against targets (N,)."""
    logits = hidden @ weight.t()
    return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="sum")


def fused_projection_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Summed smoothed loss, differentiable, and summed plain negative log-likelihood, not.

    Args:
        hidden: (N, D) outputs of the decoder, padding removed, in the dtype to compute in.
        weight: (V, D) projection; its gradient comes back in its own dtype.
        targets: (N,) the tokens to predict.
        smoothing: epsilon of label smoothing, spread over the whole vocabulary.
    """
    loss, nll = _FusedProjectionLoss.apply(hidden, weight, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss, nll


def chunk_rows(device_type: str, vocab_size: int) -> int:
    """How many rows have their logits at a time."""
    if device_type == "cpu":
        return _CPU_ROWS
    return max(_CPU_ROWS, min(_GPU_ROWS, _GPU_LOGITS // vocab_size))


class _FusedProjectionLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        working = weight.detach().to(hidden.dtype)
        vocab_size = weight.size(0)
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=torch.float32)
        loss = torch.zeros((), device=hidden.device)
        nll = torch.zeros((), device=hidden.device)
        size = chunk_rows(hidden.device.type, vocab_size)
        for start in range(0, hidden.size(0), size):
            rows = slice(start, start + size)
            logits = (hidden[rows] @ working.t()).float()
            # Every pass over the chunk costs as much as a good part of its product.
            log_probs = torch.log_softmax(logits, dim=-1)
            chunk_targets = targets[rows, None]
            chunk_nll = -log_probs.gather(1, chunk_targets).sum()
            nll += chunk_nll
            loss += (1.0 - smoothing) * chunk_nll - smoothing * log_probs.mean(dim=-1).sum()
            # d loss / d logits = softmax - (1 - eps) * one_hot - eps / V
            grad = log_probs.exp_().sub_(smoothing / vocab_size)
            grad.scatter_add_(
                1, chunk_targets, torch.full_like(chunk_targets, smoothing - 1.0, dtype=grad.dtype)
            )
            grad = grad.to(hidden.dtype)
            hidden_grad[rows] = grad @ working
            weight_grad += grad.t() @ hidden[rows]
        ctx.save_for_backward(hidden_grad, weight_grad.to(weight.dtype))
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        # The scale stays float32: rounded to bfloat16, it would bias all but the projection.
        return hidden_grad * grads[0], weight_grad * grads[0], None, None
