"""Attention of one decode step: each row against its past, each group against its source."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["attend_beams_kernel", "attend_self_kernel", "attend_source_kernel"]


@triton.jit
def take_in(query, key, value, seen, top, total, attended):
    """One block of a softmax over keys (BLOCK, K) for one query (K,)."""
    scores = tl.where(seen, tl.sum(query[None, :] * key, axis=1), float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, axis=0))
    fade = tl.exp(top - new_top)
    weights = tl.exp(scores - new_top)
    total = total * fade + tl.sum(weights, axis=0)
    attended = attended * fade + tl.sum(weights[:, None] * value, axis=0)
    return new_top, total, attended


@triton.jit
def attend_self_kernel(
    qkv, keys, values, out, rows, positions, ancestors,
    qkv_stride, out_stride, slot_stride, head_stride, half_stride, ancestors_stride, scale,
    D_MODEL: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    BEAMS: tl.constexpr,
):  # fmt: skip
    """One program for each row and head: appends the row's key and value, then attends.

    `keys` and `values` are (N, H, P, K) of one layer, `ancestors` (2, N, P).
    """
    row = tl.program_id(0)
    head = tl.program_id(1)
    slot = tl.load(rows + row).to(tl.int64)
    position = tl.load(positions + row)
    dim = tl.arange(0, HEAD_BLOCK)
    real = dim < HEAD_DIM
    source = qkv + row * qkv_stride + head * HEAD_DIM + dim
    query = tl.load(source, mask=real, other=0.0).to(tl.float32) * scale
    own_key = tl.load(source + D_MODEL, mask=real, other=0.0)
    own_value = tl.load(source + 2 * D_MODEL, mask=real, other=0.0)
    own_place = slot * slot_stride + head * head_stride + position * HEAD_DIM + dim
    tl.store(keys + own_place, own_key, mask=real)
    tl.store(values + own_place, own_value, mask=real)

    # The softmax goes over the past in blocks and begins with the row itself.
    top = tl.sum(query * own_key.to(tl.float32), axis=0)
    total = 1.0
    attended = own_value.to(tl.float32)
    ancestor_slots = ancestors + (position % 2) * half_stride + slot * ancestors_stride
    for start in range(0, position, BLOCK):
        past = start + tl.arange(0, BLOCK)
        seen = past < position
        if BEAMS > 1:
            holder = tl.load(ancestor_slots + past, mask=seen, other=0).to(tl.int64)
            place = holder[:, None] * slot_stride + past[:, None] * HEAD_DIM + dim[None, :]
        else:
            place = slot * slot_stride + past[:, None] * HEAD_DIM + dim[None, :]
        place += head * head_stride
        visible = seen[:, None] & real[None, :]
        key = tl.load(keys + place, mask=visible, other=0.0).to(tl.float32)
        value = tl.load(values + place, mask=visible, other=0.0).to(tl.float32)
        top, total, attended = take_in(query, key, value, seen, top, total, attended)
    tl.store(out + row * out_stride + head * HEAD_DIM + dim, attended / total, mask=real)


@triton.jit
def attend_source_kernel(
    query, keys, values, out, rows, source_lengths,
    query_stride, out_stride, slot_stride, head_stride, scale,
    HEAD_DIM: tl.constexpr, HEAD_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each row and head, where every group is one row.

    `keys` and `values` are (N, H, P, K) of one layer.
    """
    row = tl.program_id(0)
    head = tl.program_id(1)
    slot = tl.load(rows + row).to(tl.int64)
    length = tl.load(source_lengths + slot)
    dim = tl.arange(0, HEAD_BLOCK)
    real = dim < HEAD_DIM
    asked = tl.load(query + row * query_stride + head * HEAD_DIM + dim, mask=real, other=0.0)
    asked = asked.to(tl.float32) * scale
    top = float("-inf")
    total = 0.0
    attended = tl.zeros((HEAD_BLOCK,), tl.float32)
    for start in range(0, length, BLOCK):
        token = start + tl.arange(0, BLOCK)
        seen = token < length
        visible = seen[:, None] & real[None, :]
        place = slot * slot_stride + head * head_stride + token[:, None] * HEAD_DIM + dim[None, :]
        key = tl.load(keys + place, mask=visible, other=0.0).to(tl.float32)
        value = tl.load(values + place, mask=visible, other=0.0).to(tl.float32)
        top, total, attended = take_in(asked, key, value, seen, top, total, attended)
    tl.store(out + row * out_stride + head * HEAD_DIM + dim, attended / total, mask=real)


@triton.jit
def attend_beams_kernel(
    query, keys, values, out, rows, source_lengths,
    query_stride, out_stride, slot_stride, head_stride, scale,
    HEAD_DIM: tl.constexpr, HEAD_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
    BEAMS: tl.constexpr, BEAM_BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each group, head and BEAM_BLOCK beams: the source is read once for these.

    `keys` and `values` are (N, H, P, K) of one layer; a group's are at its first slot.
    """
    group = tl.program_id(0)
    head = tl.program_id(1)
    beam = tl.program_id(2) * BEAM_BLOCK + tl.arange(0, BEAM_BLOCK)
    lead = tl.load(rows + group * BEAMS).to(tl.int64)
    length = tl.load(source_lengths + lead)
    dim = tl.arange(0, HEAD_BLOCK)
    real = (beam < BEAMS)[:, None] & (dim < HEAD_DIM)[None, :]
    row = group * BEAMS + beam
    queries = query + row[:, None] * query_stride + head * HEAD_DIM + dim[None, :]
    # (beam, dim)
    asked = tl.load(queries, mask=real, other=0.0).to(tl.float32) * scale

    top = tl.full((BEAM_BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BEAM_BLOCK,), tl.float32)
    attended = tl.zeros((BEAM_BLOCK, HEAD_BLOCK), tl.float32)
    for start in range(0, length, BLOCK):
        token = start + tl.arange(0, BLOCK)
        seen = token < length
        visible = seen[:, None] & (dim < HEAD_DIM)[None, :]
        place = lead * slot_stride + head * head_stride + token[:, None] * HEAD_DIM + dim[None, :]
        key = tl.load(keys + place, mask=visible, other=0.0).to(tl.float32)
        value = tl.load(values + place, mask=visible, other=0.0).to(tl.float32)
        # (beam, place, dim) -> (beam, place)
        scores = tl.sum(asked[:, None, :] * key[None, :, :], axis=2)
        scores = tl.where(seen[None, :], scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        fade = tl.exp(top - new_top)
        weights = tl.exp(scores - new_top[:, None])
        total = total * fade + tl.sum(weights, axis=1)
        # (beam, place, dim) -> (beam, dim)
        update = tl.sum(weights[:, :, None] * value[None, :, :], axis=1)
        attended = attended * fade[:, None] + update
        top = new_top
    targets = out + row[:, None] * out_stride + head * HEAD_DIM + dim[None, :]
    tl.store(targets, attended / total[:, None], mask=real)
