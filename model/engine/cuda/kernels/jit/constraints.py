"""The repetition guard on the device: bits of the tokens that it changes."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["guard_kernel", "history_token"]


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
def mark(words, token, which):
    """Sets the bits of tokens, of those which."""
    bit = tl.full(token.shape, 1, tl.int32) << (token % 32)
    tl.atomic_or(words + token // 32, bit, mask=which, sem="relaxed")


@triton.jit
def guard_kernel(
    penalised, banned, rows, row_positions, ngrams, penalties, limited, source_copies, tokens,
    ancestors, guard_stride, trace_stride, half_stride, ancestors_stride, eos_id,
    LONGEST_BLOCK: tl.constexpr, BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each row; BLOCK is at least the longest history.

    `penalised` and `banned` are (R, V / 32) bits, all zero.
    """
    row = tl.program_id(0)
    slot = tl.load(rows + row).to(tl.int64)
    lead = tl.load(rows + row // BEAMS * BEAMS)
    length = tl.load(row_positions + row)
    ancestor_slots = ancestors + (length % 2) * half_stride + slot * ancestors_stride
    own_banned = banned + row.to(tl.int64) * guard_stride
    index = tl.arange(0, BLOCK)
    said = index < length
    token = history_token(tokens, ancestor_slots, slot, index, length, trace_stride, said, BEAMS)
    token = tl.maximum(token, 0)
    changed = index < tl.where(tl.load(penalties + lead) > 1.0, length, 0)
    mark(penalised + row.to(tl.int64) * guard_stride, token, changed)

    # An n-gram that begins at `index` is about to come again when what follows agrees with the
    # last n - 1 tokens.
    ngram = tl.load(ngrams + lead)
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
    mark(own_banned, tl.maximum(last, 0), agrees & (last != eos_id))

    # A block that the history ends with: as many tokens as agree with those one block before them.
    copies = tl.load(source_copies + lead)
    longest = tl.minimum(length // 2, LONGEST_BLOCK)
    for size in range(1, tl.where(tl.load(limited + lead) > 0, longest, 0) + 1):
        behind = said & (index >= size)
        other = history_token(
            tokens, ancestor_slots, slot, index - size, length, trace_stride, behind, BEAMS
        )
        differs = said & ((index < size) | (token != other))
        matching = length - 1 - tl.max(tl.where(differs, index, -1), axis=0)
        enough = matching >= size * (copies + tl.maximum(1, 4 - size) - 1)
        first = index == tl.where(enough, length - size, -1)
        mark(own_banned, token, first & (token != eos_id))
