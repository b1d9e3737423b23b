"""A linear layer for a handful of rows, with what stands before and behind it in one kernel.

With so few rows a product is the reading of its weights, and the launches around it cost as much:
each program normalises the rows for itself, which they share through the cache, and multiplies them
with a few columns. Where these are few in all, the depth is split, for all of the device to read.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["linear_kernel"]


@triton.jit
def row_moments(x, rows, valid, stride, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Mean and inverse standard deviation of (ROWS,) rows of x, in two passes."""
    dim = tl.arange(0, BLOCK)
    here = valid[:, None] & (dim < WIDTH)[None, :]
    row = tl.load(x + rows[:, None] * stride + dim[None, :], mask=here, other=0.0).to(tl.float32)
    mean = tl.sum(row, axis=1) / WIDTH
    centred = tl.where(here, row - mean[:, None], 0.0)
    return mean, 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / WIDTH + eps)


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    """None, or the value of an Activation."""
    if ACTIVATION == "relu":
        # A comparison, since a maximum may lose NaN.
        x = tl.where(x < 0.0, 0.0, x)
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "gelu_tanh":
        # tanh(y) = 2 sigmoid(2 y) - 1; the exponential must not overflow.
        y = -1.5957691216057308 * (x + 0.044715 * x * x * x)
        x = x / (1.0 + tl.exp(tl.minimum(y, 80.0)))
    elif ACTIVATION == "gelu_sigmoid":
        x = x / (1.0 + tl.exp(-1.702 * x))
    elif ACTIVATION == "silu":
        x = x / (1.0 + tl.exp(-x))
    return x


@triton.jit
def sum_of_parts(
    result, parts, arrivals, part, place, part_size, here, counter, SPLITS: tl.constexpr
):  # fmt: skip
    """Leaves this program's part of a sum for the one that comes last, which adds all of them up.

    It does so in their order, whoever comes last: the sum is the same every time.

    Returns:
        The sum, and whether this is the last program.
    """
    tl.store(parts + part * part_size + place, result, mask=here)
    # All of the part is there before anybody hears of it.
    tl.debug_barrier()
    last = tl.atomic_add(arrivals + counter, 1, sem="acq_rel") == SPLITS - 1
    if last:
        result = tl.zeros_like(result)
        for other in range(SPLITS):
            result += tl.load(
                parts + other * part_size + place, mask=here, other=0.0, cache_modifier=".cg"
            )
        # For the next launch.
        tl.store(arrivals + counter, 0)
    return result, last


@triton.jit
def store_result(
    result, bias, out, kept, kept_weight, kept_bias, row, column, place, valid, wanted, kept_eps,
    OUT: tl.constexpr, OUT_BLOCK: tl.constexpr, BIAS: tl.constexpr, ACTIVATION: tl.constexpr,
    KEEP: tl.constexpr, KEEP_NORM: tl.constexpr,
):  # fmt: skip
    """out = act(result + bias) + norm(kept)."""
    if BIAS:
        result += tl.load(bias + column, mask=wanted, other=0.0).to(tl.float32)[None, :]
    result = activate(result, ACTIVATION)
    here = valid[:, None] & wanted[None, :]
    if KEEP:
        old = tl.load(kept + place, mask=here, other=0.0)
        if KEEP_NORM:
            kept_mean, kept_factor = row_moments(kept, row, valid, OUT, kept_eps, OUT, OUT_BLOCK)
            gain = tl.load(kept_weight + column, mask=wanted, other=0.0)
            shift = tl.load(kept_bias + column, mask=wanted, other=0.0)
            old = (old - kept_mean[:, None]) * kept_factor[:, None] * gain[None, :]
            old += shift[None, :]
        result += old
    tl.store(out + place, result, mask=here)


@triton.jit(do_not_specialize=["num_rows"])
def linear_kernel(
    x, weight, bias, out, norm_weight, norm_bias, kept, kept_weight, kept_bias, parts, arrivals,
    num_rows, eps, kept_eps,
    IN: tl.constexpr, OUT: tl.constexpr, IN_BLOCK: tl.constexpr, OUT_BLOCK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, SPLITS: tl.constexpr,
    PART: tl.constexpr, BIAS: tl.constexpr, NORM: tl.constexpr, ACTIVATION: tl.constexpr,
    KEEP: tl.constexpr, KEEP_NORM: tl.constexpr,
):  # fmt: skip
    """One program for ROWS rows and COLUMNS columns of out = act(norm(x) W^T + b) + norm(kept).

    x is (R, IN), weight (OUT, IN), kept and out (R, OUT). Each of SPLITS programs multiplies PART
    of the depth; `parts` are (SPLITS, R, OUT) float32, `arrivals` zeros, and zeros again behind it.
    """
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(2)
    valid = row < num_rows
    wanted = column < OUT
    if NORM:
        mean, factor = row_moments(x, row, valid, IN, eps, IN, IN_BLOCK)
    result = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, PART, DEPTH):
        dim = part * PART + start + tl.arange(0, DEPTH)
        inner = dim < IN
        there = valid[:, None] & inner[None, :]
        a = tl.load(x + row[:, None] * IN + dim[None, :], mask=there, other=0.0)
        if NORM:
            gain = tl.load(norm_weight + dim, mask=inner, other=0.0)
            shift = tl.load(norm_bias + dim, mask=inner, other=0.0)
            a = (a - mean[:, None]) * factor[:, None] * gain[None, :] + shift[None, :]
        b = tl.load(
            weight + column[None, :] * IN + dim[:, None],
            mask=wanted[None, :] & inner[:, None],
            other=0.0,
        )
        result += tl.dot(a.to(b.dtype), b, input_precision="ieee")
    place = row[:, None] * OUT + column[None, :]
    last = part == 0
    if SPLITS > 1:
        counter = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
        result, last = sum_of_parts(
            result, parts, arrivals, part, place, num_rows * OUT, valid[:, None] & wanted[None, :],
            counter, SPLITS,
        )  # fmt: skip
    if last:
        store_result(
            result, bias, out, kept, kept_weight, kept_bias, row, column, place, valid, wanted,
            kept_eps, OUT, OUT_BLOCK, BIAS, ACTIVATION, KEEP, KEEP_NORM,
        )  # fmt: skip
