"""One step of a decoder's recurrent layer."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["recur_kernel"]


@triton.jit
def recur_kernel(
    projected, states, out, rows, positions, ancestors,
    half_stride, slot_stride, ancestors_half_stride, ancestors_stride,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, BEAMS: tl.constexpr,
):  # fmt: skip
    """One program for each row. `states` are (2, N, D) of one layer, `ancestors` (2, N, P)."""
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(rows + row).to(tl.int64)
    position = tl.load(positions + row)
    dim = tl.arange(0, BLOCK)
    real = dim < WIDTH
    update = tl.load(projected + row * 2 * WIDTH + dim, mask=real, other=0.0).to(tl.float32)
    forget = tl.load(projected + row * 2 * WIDTH + WIDTH + dim, mask=real, other=0.0)
    # The exponential must not overflow.
    gate = 1.0 / (1.0 + tl.exp(tl.minimum(-forget.to(tl.float32), 80.0)))
    holder = slot
    if BEAMS > 1:
        past = ancestors + (position % 2) * ancestors_half_stride + slot * ancestors_stride
        holder = tl.load(past + tl.maximum(position - 1, 0)).to(tl.int64)
    # Halves take turns; that of the position before is the other one.
    before = states + ((position + 1) % 2) * half_stride + holder * slot_stride + dim
    state = tl.load(before, mask=dim < tl.where(position > 0, WIDTH, 0), other=0.0)
    state = gate * state + (1.0 - gate) * update
    tl.store(states + (position % 2) * half_stride + slot * slot_stride + dim, state, mask=real)
    # A comparison, since a maximum may lose NaN.
    tl.store(out + row * WIDTH + dim, tl.where(state < 0.0, 0.0, state), mask=real)
