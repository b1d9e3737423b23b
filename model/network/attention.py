"""Multi-head attention (section 3.2): the formula, the reference and the fast path.

Shape letters, used in the whole project: B rows, S source length, T target length, D d_model,
H heads, K head_dim, V vocabulary. In this file Q and M are the lengths of queries and of keys.
Every mask is True where a query may attend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "MultiHeadAttention",
    "attend",
    "causal_mask",
    "fuse_linears",
    "padding_mask",
    "reference_attention",
]


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    """(B,) lengths -> (B, 1, 1, max_len): which keys are no padding."""
    positions = torch.arange(max_len, device=lengths.device)
    return (positions < lengths[:, None])[:, None, None, :]


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """(1, 1, T, T): a target position sees itself and what came before it (section 3.2.3)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def reference_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(K)) V, equation 1, as the paper writes it.

    The oracle for every faster path, and the fastest one to train with on a CPU.

    Args:
        query: (B, H, Q, K).
        key: (B, H, M, K).
        value: (B, H, M, K).
        mask: broadcastable to (B, H, Q, M); every query must have one key that it may attend to.

    Returns:
        (B, H, Q, K).
    """
    # (B, H, Q, K) x (B, H, K, M) -> (B, H, Q, M)
    scores = torch.matmul(query * (1.0 / math.sqrt(query.size(-1))), key.transpose(-2, -1))
    weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=-1)
    return torch.matmul(weights.to(value.dtype), value)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """`reference_attention`, through PyTorch's fused kernel where that is the faster one."""
    if query.device.type == "cpu" and query.requires_grad:
        return reference_attention(query, key, value, mask)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


@torch.no_grad()
def fuse_linears(linears: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the one layer that does what several layers of the same input do.

    Args:
        linears: at least one; all have a bias, or none has.

    Returns:
        (N, K) with the outputs side by side, and (N,); a single layer's own tensors, not copies.
    """
    # PyTorch's annotation leaves out layers without one.
    biases: list[Tensor | None] = [linear.bias for linear in linears]
    given = [bias for bias in biases if bias is not None]
    if len(linears) == 1:
        return linears[0].weight, given[0] if given else None
    weight = torch.cat([linear.weight for linear in linears])
    return weight, torch.cat(given) if given else None


class MultiHeadAttention(nn.Module):
    """Project to heads, attend, join the heads, project back (section 3.2.2)."""

    def __init__(self, d_model: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    @property
    def input_projections(self) -> list[nn.Linear]:
        """Queries, keys and values: in self-attention they read the same input."""
        return [self.q_proj, self.k_proj, self.v_proj]

    def forward(self, x: Tensor, attended: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D) attends to (B, M, D) under a mask that broadcasts to (B, H, Q, M)."""
        key, value = self.project_keys_values(attended)
        return self.attend_projected(x, key, value, mask)

    def project_keys_values(self, attended: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, D) -> keys and values, (B, H, M, K) each."""
        return self._split_heads(self.k_proj(attended)), self._split_heads(self.v_proj(attended))

    def attend_projected(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D) attends to keys and values that are projected already: what a cache holds."""
        query = self._split_heads(self.q_proj(x))
        return self._join_heads(attend(query, key, value, mask))

    def weights(self, x: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """How much (B, Q, D) attends to each of the keys (B, H, M, K): (B, H, Q, M), float32."""
        scores = torch.matmul(self._split_heads(self.q_proj(x)), key.transpose(-2, -1))
        scores = scores.float() * (1.0 / math.sqrt(self.head_dim))
        return torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)

    def _split_heads(self, x: Tensor) -> Tensor:
        # (B, M, D) -> (B, M, H, K) -> (B, H, M, K)
        rows, length, _ = x.shape
        return x.view(rows, length, self.num_heads, self.head_dim).transpose(1, 2)

    def _join_heads(self, x: Tensor) -> Tensor:
        # (B, H, Q, K) -> (B, Q, H, K) -> (B, Q, D)
        return self.out_proj(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
