"""The residual stream: how it begins, and how sub-layers add to it."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["add_norm_kernel", "embed_kernel"]


@triton.jit
def layer_norm(x, weight, bias, eps, dim, WIDTH: tl.constexpr):
    """One row, (BLOCK,) float32, of which the first WIDTH numbers are real."""
    real = dim < WIDTH
    mean = tl.sum(tl.where(real, x, 0.0), axis=0) / WIDTH
    centred = tl.where(real, x - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / WIDTH
    factor = tl.load(weight + dim, mask=real, other=0.0)
    shift = tl.load(bias + dim, mask=real, other=0.0)
    return centred / tl.sqrt(variance + eps) * factor + shift


@triton.jit
def embed_kernel(
    token_ids, positions, tokens, position_table, weight, bias, stream, offset, scale, eps,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, NORM: tl.constexpr,
):  # fmt: skip
    """One program for each token."""
    row = tl.program_id(0)
    dim = tl.arange(0, BLOCK)
    real = dim < WIDTH
    token = tl.load(token_ids + row).to(tl.int64)
    position = tl.load(positions + row) + offset
    x = tl.load(tokens + token * WIDTH + dim, mask=real, other=0.0).to(tl.float32) * scale
    x += tl.load(position_table + position * WIDTH + dim, mask=real, other=0.0)
    if NORM:
        x = layer_norm(x, weight, bias, eps, dim, WIDTH)
    tl.store(stream + row.to(tl.int64) * WIDTH + dim, x, mask=real)


@triton.jit
def add_norm_kernel(
    stream, update, weight, bias, out, eps,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    ADD: tl.constexpr, NORM: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """One program for each row."""
    row = tl.program_id(0).to(tl.int64)
    dim = tl.arange(0, BLOCK)
    real = dim < WIDTH
    x = tl.load(stream + row * WIDTH + dim, mask=real, other=0.0)
    if ADD:
        x += tl.load(update + row * WIDTH + dim, mask=real, other=0.0).to(tl.float32)
    normed = x
    if NORM:
        normed = layer_norm(x, weight, bias, eps, dim, WIDTH)
    if KEEP:
        x = normed
    if ADD or KEEP:
        tl.store(stream + row * WIDTH + dim, x, mask=real)
    tl.store(out + row * WIDTH + dim, normed, mask=real)
