"""The attention against a plain float64 loop over equation 1."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network.attention import (
    MultiHeadAttention,
    attend,
    causal_mask,
    fuse_linears,
    padding_mask,
    reference_attention,
)


def loop_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(K)) V, one number at a time."""
    rows, heads, num_queries, width = query.shape
    output = torch.zeros(rows, heads, num_queries, value.size(-1), dtype=torch.float64)
    mask = mask.expand(rows, heads, num_queries, key.size(2))
    for b in range(rows):
        for h in range(heads):
            for q in range(num_queries):
                allowed = [m for m in range(key.size(2)) if mask[b, h, q, m]]
                scores = [
                    math.exp(float(query[b, h, q] @ key[b, h, m]) / math.sqrt(width))
                    for m in allowed
                ]
                for m, score in zip(allowed, scores, strict=True):
                    output[b, h, q] += score / sum(scores) * value[b, h, m]
    return output


@pytest.mark.parametrize("attention", [reference_attention, attend])
@pytest.mark.parametrize("masking", ["padding", "causal"])
def test_equals_the_formula(attention, masking: str) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, 5, 8, dtype=torch.float64) for _ in range(3))
    mask = causal_mask(5) if masking == "causal" else padding_mask(torch.tensor([5, 1, 3]), 5)
    expected = loop_attention(query, key, value, mask)
    torch.testing.assert_close(attention(query, key, value, mask), expected, atol=1e-12, rtol=0)


def test_the_training_path_on_a_cpu_is_the_same_function() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 4, 8, dtype=torch.float64) for _ in range(3))
    mask = causal_mask(4)
    query.requires_grad_()
    with_gradient = attend(query, key, value, mask)
    assert with_gradient.requires_grad
    torch.testing.assert_close(
        with_gradient.detach(), attend(query.detach(), key, value, mask), atol=1e-12, rtol=0
    )


def test_what_a_mask_hides_has_no_influence() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 4, 8) for _ in range(3))
    mask = padding_mask(torch.tensor([2, 4]), 4)
    before = attend(query, key, value, mask)
    key[0, :, 2:], value[0, :, 2:] = 1e4, -1e4
    torch.testing.assert_close(attend(query, key, value, mask), before, atol=0, rtol=0)


def test_masks() -> None:
    assert padding_mask(torch.tensor([1, 3]), 3)[:, 0, 0].tolist() == [
        [True, False, False],
        [True, True, True],
    ]
    assert causal_mask(3)[0, 0].tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_heads_are_independent_slices() -> None:
    """Zeroing one head's slice of the output projection removes exactly that head."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 4).double()
    x = torch.randn(1, 3, 16, dtype=torch.float64)
    mask = causal_mask(3)
    whole = attention(x, x, mask)
    parts = []
    weight = attention.out_proj.weight.detach().clone()
    for head in range(4):
        with torch.no_grad():
            attention.out_proj.weight.zero_()
            columns = slice(4 * head, 4 * head + 4)
            attention.out_proj.weight[:, columns] = weight[:, columns]
        parts.append(attention(x, x, mask) - attention.out_proj.bias)
    torch.testing.assert_close(sum(parts) + attention.out_proj.bias, whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_fused_layers_give_what_each_gives(bias: bool) -> None:
    layers = [nn.Linear(6, size, bias=bias) for size in (3, 5)]
    weight, fused_bias = fuse_linears(layers)
    x = torch.randn(4, 6)
    expected = torch.cat([layer(x) for layer in layers], dim=1)
    torch.testing.assert_close(F.linear(x, weight, fused_bias), expected)
    assert not weight.requires_grad


def test_one_layer_is_fused_with_nothing() -> None:
    layer = nn.Linear(6, 3)
    assert fuse_linears([layer]) == (layer.weight, layer.bias)
