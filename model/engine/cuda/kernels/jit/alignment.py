"""Which source token a decode step attends to most."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["add_attention_kernel", "note_attended_kernel"]


@triton.jit(do_not_specialize=["head"])
def add_attention_kernel(
    query, keys, weights, rows, source_lengths, head,
    query_stride, weights_stride, slot_stride, head_stride, scale,
    HEAD_DIM: tl.constexpr, HEAD_BLOCK: tl.constexpr, BLOCK: tl.constexpr, BEAMS: tl.constexpr,
):  # fmt: skip
    """One program for each row: adds the attention of one head, in two turns over the source.

    `keys` are (N, H, P, K) of one layer; a group's are at its first slot. `weights` are (R, P).
    """
    row = tl.program_id(0)
    lead = tl.load(rows + row // BEAMS * BEAMS).to(tl.int64)
    length = tl.load(source_lengths + lead)
    dim = tl.arange(0, HEAD_BLOCK)
    real = dim < HEAD_DIM
    asked = tl.load(query + row * query_stride + head * HEAD_DIM + dim, mask=real, other=0.0)
    asked = asked.to(tl.float32) * scale
    of_source = keys + lead * slot_stride + head * head_stride
    top = float("-inf")
    total = 0.0
    for start in range(0, length, BLOCK):
        token = start + tl.arange(0, BLOCK)
        seen = token < length
        visible = seen[:, None] & real[None, :]
        place = token[:, None] * HEAD_DIM + dim[None, :]
        key = tl.load(of_source + place, mask=visible, other=0.0).to(tl.float32)
        scores = tl.where(seen, tl.sum(asked[None, :] * key, axis=1), float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=0))
        total = total * tl.exp(top - new_top) + tl.sum(tl.exp(scores - new_top), axis=0)
        top = new_top
    for start in range(0, length, BLOCK):
        token = start + tl.arange(0, BLOCK)
        seen = token < length
        visible = seen[:, None] & real[None, :]
        place = token[:, None] * HEAD_DIM + dim[None, :]
        key = tl.load(of_source + place, mask=visible, other=0.0).to(tl.float32)
        scores = tl.sum(asked[None, :] * key, axis=1)
        sums = weights + row * weights_stride + token
        before = tl.load(sums, mask=seen, other=0.0)
        tl.store(sums, before + tl.exp(scores - top) / total, mask=seen)


@triton.jit
def note_attended_kernel(
    weights, rows, positions, firsts, ends, dones, attended, weights_stride, attended_stride,
    BLOCK: tl.constexpr, BEAMS: tl.constexpr,
):  # fmt: skip
    """One program for each row. `weights` are (R, P), `attended` (N, P)."""
    row = tl.program_id(0)
    slot = tl.load(rows + row).to(tl.int64)
    lead = tl.load(rows + row // BEAMS * BEAMS)
    place = tl.arange(0, BLOCK)
    among = (place >= tl.load(firsts + lead)) & (place < tl.load(ends + lead))
    # Weights are not below zero. What is no number is taken for nothing: the search ends by itself.
    found = tl.load(weights + row * weights_stride + place, mask=among, other=-1.0)
    found = tl.where(found == found, found, -1.0)
    best = tl.min(tl.where(found == tl.max(found, axis=0), place, BLOCK), axis=0)
    going_on = tl.load(dones + lead) == 0
    tl.store(attended + slot * attended_stride + tl.load(positions + row), best, mask=going_on)
