"""The repetition guard on the device."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["constrain_kernel", "restrict_kernel"]


@triton.jit
def restrict_kernel(
    scores, rows, allowed, allowed_stride,
    VOCABULARY: tl.constexpr, BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each row and each BLOCK of the vocabulary."""
    row = tl.program_id(0)
    token = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = token < VOCABULARY
    lead = tl.load(rows + row // BEAMS * BEAMS).to(tl.int64)
    word = tl.load(allowed + lead * allowed_stride + token // 32, mask=real, other=-1)
    forbidden = ((word >> (token % 32)) & 1) == 0
    place = row.to(tl.int64) * VOCABULARY + token
    tl.store(scores + place, float("-inf"), mask=real & forbidden)


@triton.jit
def history_token(
    tokens, ancestor_slots, slot, index, length, trace_stride, real, BEAMS: tl.constexpr
):  # fmt: skip
    """The target tokens at `index`, counted from 0; the last is the one that is fed now."""
    place = index + 1
    if BEAMS > 1:
        holder = tl.load(ancestor_slots + place, mask=real & (place < length), other=0).to(tl.int64)
        holder = tl.where(place < length, holder, slot)
    else:
        holder = slot
    return tl.load(tokens + holder * trace_stride + place, mask=real, other=-1)


@triton.jit
def constrain_kernel(
    log_probs, rows, row_positions, ngrams, penalties, tokens, ancestors,
    trace_stride, half_stride, ancestors_stride, eos_id,
    VOCABULARY: tl.constexpr, BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each row; BLOCK is at least the longest history."""
    row = tl.program_id(0)
    slot = tl.load(rows + row).to(tl.int64)
    lead = tl.load(rows + row // BEAMS * BEAMS)
    length = tl.load(row_positions + row)
    ngram = tl.load(ngrams + lead)
    penalty = tl.load(penalties + lead).to(tl.float32)
    ancestor_slots = ancestors + (length % 2) * half_stride + slot * ancestors_stride
    mine = log_probs + row.to(tl.int64) * VOCABULARY
    index = tl.arange(0, BLOCK)
    said = index < length
    token = history_token(tokens, ancestor_slots, slot, index, length, trace_stride, said, BEAMS)
    old = tl.load(mine + token, mask=said, other=0.0)
    # A token that was said twice is penalised once: all read before any writes.
    tl.debug_barrier()
    tl.store(mine + token, old * penalty, mask=said)
    tl.debug_barrier()

    # An n-gram that begins at `index` is about to come again when what follows agrees with the
    # last n - 1 tokens.
    agrees = index <= tl.where(ngram > 0, length - ngram, -1)
    for offset in range(0, ngram - 1):
        there = history_token(
            tokens, ancestor_slots, slot, index + offset, length, trace_stride, agrees, BEAMS
        )
        tail = history_token(
            tokens, ancestor_slots, slot, index * 0 + length - ngram + 1 + offset, length,
            trace_stride, agrees, BEAMS,
        )  # fmt: skip
        agrees = agrees & (there == tail)
    last = history_token(
        tokens, ancestor_slots, slot, index + ngram - 1, length, trace_stride, agrees, BEAMS
    )
    tl.store(mine + last, float("-inf"), mask=agrees & (last != eos_id))
