"""Attention over sources packed one behind the other, and where their keys and values go."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["attend_packed_kernel", "write_cross_kernel"]


@triton.jit
def attend_packed_kernel(
    qkv, blocks, out, qkv_stride, out_stride, scale,
    D_MODEL: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_BLOCK: tl.constexpr,
    QUERIES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each block of queries, all of one source, and each head.

    The keys are read from the source's first one on, so that their blocks, and with them the order
    of every sum, do not depend on where the source lies.
    """
    block = tl.program_id(0)
    head = tl.program_id(1)
    first = tl.load(blocks + block * 3)
    start = tl.load(blocks + block * 3 + 1)
    end = tl.load(blocks + block * 3 + 2)
    # An empty block begins at its end.
    if first < end:
        dim = tl.arange(0, HEAD_BLOCK)
        real = (dim < HEAD_DIM)[None, :]
        token = first + tl.arange(0, QUERIES)
        mine = (token < end)[:, None] & real
        column = head * HEAD_DIM + dim[None, :]
        query = tl.load(qkv + token[:, None] * qkv_stride + column, mask=mine, other=0.0)
        top = tl.full((QUERIES,), float("-inf"), tl.float32)
        total = tl.zeros((QUERIES,), tl.float32)
        attended = tl.zeros((QUERIES, HEAD_BLOCK), tl.float32)
        for place in range(start, end, BLOCK):
            other = place + tl.arange(0, BLOCK)
            visible = (other < end)[:, None] & real
            there = qkv + other[:, None] * qkv_stride + column
            key = tl.load(there + D_MODEL, mask=visible, other=0.0)
            value = tl.load(there + 2 * D_MODEL, mask=visible, other=0.0)
            scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
            scores = tl.where((other < end)[None, :], scores, float("-inf"))
            new_top = tl.maximum(top, tl.max(scores, axis=1))
            fade = tl.exp(top - new_top)
            weights = tl.exp(scores - new_top[:, None])
            total = total * fade + tl.sum(weights, axis=1)
            update = tl.dot(weights.to(value.dtype), value, input_precision="ieee")
            attended = attended * fade[:, None] + update
            top = new_top
        tl.store(out + token[:, None] * out_stride + column, attended / total[:, None], mask=mine)


@triton.jit
def write_cross_kernel(
    kv, leads, positions, keys, values,
    kv_stride, layer_stride, slot_stride, head_stride,
    D_MODEL: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each token and layer; `keys` and `values` are (L, N, H, P, K)."""
    token = tl.program_id(0)
    layer = tl.program_id(1)
    lead = tl.load(leads + token).to(tl.int64)
    if lead >= 0:
        position = tl.load(positions + token)
        dim = tl.arange(0, BLOCK)
        real = dim < D_MODEL
        source = kv + token.to(tl.int64) * kv_stride + layer * 2 * D_MODEL + dim
        key = tl.load(source, mask=real)
        value = tl.load(source + D_MODEL, mask=real)
        head = dim // HEAD_DIM
        place = layer.to(tl.int64) * layer_stride + lead * slot_stride + head * head_stride
        place = place + position * HEAD_DIM + dim % HEAD_DIM
        tl.store(keys + place, key, mask=real)
        tl.store(values + place, value, mask=real)
