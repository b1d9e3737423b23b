"""The end of a step: from the decoder's output to the likeliest continuations of each row.

The vocabulary is projected tile by tile. What a tile has, its largest logit and the sum of its
exponentials, is written beside it; then a second kernel looks at these alone, and at the few tiles
that can have one of the best tokens. The logits of greedy search are never written.
"""

from __future__ import annotations

import triton
import triton.language as tl

from model.engine.cuda.kernels.jit.constraints import history_token

__all__ = ["pick_kernel", "project_kernel"]


@triton.jit
def multiplied(
    x, weight, row, column, valid, wanted,
    IN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """(ROWS, COLUMNS) float32 of x W^T; `weight` begins at column 0."""
    result = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, IN, DEPTH):
        dim = start + tl.arange(0, DEPTH)
        there, theirs = valid[:, None], wanted[None, :]
        if IN % DEPTH:
            there, theirs = there & (dim < IN)[None, :], theirs & (dim < IN)[:, None]
        a = tl.load(x + row[:, None] * IN + dim[None, :], mask=there, other=0.0)
        b = tl.load(weight + column[None, :] * IN + dim[:, None], mask=theirs, other=0.0)
        result = tl.dot(a, b, result, input_precision="ieee")
    return result


@triton.jit
def bits_of(words, row, token, stride, here):
    """(ROWS, COLUMNS) int32, 0 or 1, of the rows of `words`, at which bit t % 32 is token t's."""
    word = tl.load(words + row[:, None] * stride + (token // 32)[None, :], mask=here, other=0)
    return (word >> (token % 32)[None, :]) & 1


@triton.jit(do_not_specialize=["num_rows"])
def project_kernel(
    x, weight, bias, logits, maxima, sums, tops, top_tokens, penalised, banned, allowed, rows,
    num_rows, guard_stride, allowed_stride,
    VOCABULARY: tl.constexpr, TILES: tl.constexpr, IN: tl.constexpr, BEAMS: tl.constexpr,
    ROWS: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr, BIAS: tl.constexpr,
    RESTRICTED: tl.constexpr, GUARDED: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """One program for ROWS rows and one TILE of the vocabulary.

    With KEEP all logits are written, else the best token of each row, and the logits that a guard
    changes. `logits` are (R, TILES * TILE), what is behind it (R, TILES).
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    tile = tl.program_id(1)
    column = tl.arange(0, TILE)
    token = tile * TILE + column
    valid = row < num_rows
    real = token < VOCABULARY
    here = valid[:, None] & real[None, :]
    mine = weight + (tile * TILE).to(tl.int64) * IN
    score = multiplied(x, mine, row, column, valid, real, IN, ROWS, TILE, DEPTH)
    if BIAS:
        score += tl.load(bias + token, mask=real, other=0.0).to(tl.float32)[None, :]
    score = tl.where(here, score, float("-inf"))
    wide_row = row.to(tl.int64)
    if RESTRICTED:
        lead = tl.load(rows + row // BEAMS * BEAMS, mask=valid, other=0).to(tl.int64)
        score = tl.where(
            bits_of(allowed, lead, token, allowed_stride, here) > 0, score, float("-inf")
        )
    # Where all is minus infinity, the sum is nothing; what is no number makes it none.
    ranked = tl.where(score == score, score, float("-inf"))
    top = tl.max(ranked, axis=1)
    total = tl.sum(tl.exp(score - tl.maximum(top, -3.0e38)[:, None]), axis=1)
    place = wide_row * TILES + tile
    tl.store(maxima + place, top, mask=valid)
    tl.store(sums + place, total, mask=valid)
    targets = logits + wide_row[:, None] * (TILES * TILE) + token[None, :]
    if GUARDED:
        changed = bits_of(penalised, wide_row, token, guard_stride, here)
        changed = (changed | bits_of(banned, wide_row, token, guard_stride, here)) > 0
        ranked = tl.where(changed, float("-inf"), ranked)
        top = tl.max(ranked, axis=1)
        tl.store(tops + place, top, mask=valid)
    if KEEP:
        tl.store(targets, score, mask=valid[:, None])
    else:
        if GUARDED:
            tl.store(targets, score, mask=changed & here)
        best = tl.min(tl.where((ranked == top[:, None]) & here, token[None, :], VOCABULARY), axis=1)
        tl.store(top_tokens + place, best, mask=valid)


@triton.jit
def normalizer(maxima, sums, row, TILES: tl.constexpr, TILE_BLOCK: tl.constexpr):
    """The logarithm of the sum of all exponentials of a row."""
    tile = tl.arange(0, TILE_BLOCK)
    there = tile < TILES
    top = tl.load(maxima + row * TILES + tile, mask=there, other=float("-inf"))
    total = tl.load(sums + row * TILES + tile, mask=there, other=0.0)
    highest = tl.max(top, axis=0)
    return highest + tl.log(tl.sum(total * tl.exp(top - highest), axis=0))


@triton.jit
def best_tiles(
    top, TILES: tl.constexpr, TILE_BLOCK: tl.constexpr, PICKED: tl.constexpr,
    PICKED_BLOCK: tl.constexpr,
):  # fmt: skip
    """(PICKED_BLOCK,) the PICKED tiles with the highest tops, the first ones among equals.

    None of the PICKED best tokens of a row lies elsewhere: each of these tiles has one that goes
    before it.
    """
    tile = tl.arange(0, TILE_BLOCK)
    entry = tl.arange(0, PICKED_BLOCK)
    picked = tl.zeros((PICKED_BLOCK,), tl.int32)
    there = tile < TILES
    for rank in tl.static_range(PICKED):
        left = tl.where(there, top, float("-inf"))
        best = tl.max(left, axis=0)
        winner = tl.min(tl.where((left == best) & there, tile, TILES - 1), axis=0)
        picked = tl.where(entry == rank, winner, picked)
        there = there & (tile != winner)
    return picked


@triton.jit
def said_again(
    logits, penalised, banned, tokens, ancestor_slots, slot, length, penalty, norm, trace_stride,
    BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(BLOCK,) tokens of a history, and what the guard makes of their log-probabilities.

    A token may be there several times.
    """
    index = tl.arange(0, BLOCK)
    said = index < length
    token = history_token(tokens, ancestor_slots, slot, index, length, trace_stride, said, BEAMS)
    token = tl.maximum(token, 0)
    changed = (tl.load(penalised + token // 32, mask=said, other=0) >> (token % 32)) & 1
    refused = (tl.load(banned + token // 32, mask=said, other=0) >> (token % 32)) & 1
    kept = said & (changed > 0) & (refused == 0)
    score = (tl.load(logits + token, mask=kept, other=0.0) - norm) * penalty
    return token, tl.where(kept & (score == score), score, float("-inf"))


@triton.jit
def pick_kernel(
    logits, maxima, sums, tops, top_tokens, penalised, banned, rows, positions, penalties,
    tokens, ancestors, best_scores, best_tokens,
    guard_stride, trace_stride, half_stride, ancestors_stride,
    VOCABULARY: tl.constexpr, TILES: tl.constexpr, TILE_BLOCK: tl.constexpr, TILE: tl.constexpr,
    WIDTH: tl.constexpr, PICKED: tl.constexpr, PICKED_BLOCK: tl.constexpr, BEAMS: tl.constexpr,
    GUARDED: tl.constexpr, KEEP: tl.constexpr, HISTORY: tl.constexpr,
):  # fmt: skip
    """One program for each row: its WIDTH best tokens; arguments as in `project_kernel`."""
    row = tl.program_id(0)
    wide_row = row.to(tl.int64)
    norm = normalizer(maxima, sums, wide_row, TILES, TILE_BLOCK)
    tile = tl.arange(0, TILE_BLOCK)
    top = tl.load(tops + wide_row * TILES + tile, mask=tile < TILES, other=float("-inf"))
    own_logits = logits + wide_row * (TILES * TILE)
    own_penalised = penalised + wide_row * guard_stride
    own_banned = banned + wide_row * guard_stride
    if KEEP:
        picked = best_tiles(top, TILES, TILE_BLOCK, PICKED, PICKED_BLOCK)
        several = picked[:, None] * TILE + tl.arange(0, TILE)[None, :]
        real = (tl.arange(0, PICKED_BLOCK) < PICKED)[:, None] & (several < VOCABULARY)
        found = tl.load(own_logits + several, mask=real, other=float("-inf"))
        if GUARDED:
            changed = tl.load(own_penalised + several // 32, mask=real, other=0)
            changed = changed | tl.load(own_banned + several // 32, mask=real, other=0)
            found = tl.where(((changed >> (several % 32)) & 1) > 0, float("-inf"), found)
        token = tl.reshape(tl.where(real, several, VOCABULARY), (PICKED_BLOCK * TILE,))
        score = tl.reshape(found, (PICKED_BLOCK * TILE,))
    else:
        token = tl.load(top_tokens + wide_row * TILES + tile, mask=tile < TILES, other=VOCABULARY)
        score = top
    score = score - norm
    score = tl.where(score == score, score, float("-inf"))
    if GUARDED:
        lead = tl.load(rows + row // BEAMS * BEAMS)
        slot = tl.load(rows + row).to(tl.int64)
        length = tl.load(positions + lead)
        ancestor_slots = ancestors + (length % 2) * half_stride + slot * ancestors_stride
        penalty = tl.load(penalties + lead).to(tl.float32)
        said_token, said_score = said_again(
            own_logits, own_penalised, own_banned, tokens, ancestor_slots, slot, length, penalty,
            norm, trace_stride, BEAMS, HISTORY,
        )  # fmt: skip
    for rank in tl.static_range(WIDTH):
        best = tl.max(score, axis=0)
        winner = tl.min(tl.where(score == best, token, VOCABULARY), axis=0)
        if GUARDED:
            said_best = tl.max(said_score, axis=0)
            said_winner = tl.min(tl.where(said_score == said_best, said_token, VOCABULARY), axis=0)
            ahead = (said_best > best) | ((said_best == best) & (said_winner < winner))
            best = tl.where(ahead, said_best, best)
            winner = tl.where(ahead, said_winner, winner)
            said_score = tl.where(said_token == winner, float("-inf"), said_score)
        tl.store(best_scores + wide_row * WIDTH + rank, best)
        # Of a row in which nothing is left, some token that there is.
        tl.store(best_tokens + wide_row * WIDTH + rank, tl.minimum(winner, VOCABULARY - 1))
        score = tl.where(token == winner, float("-inf"), score)
