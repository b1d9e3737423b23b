"""Search on the device: from candidates to the next step."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["advance_kernel", "read_rows_kernel", "reorder_beams_kernel"]


@triton.jit(do_not_specialize=["num_rows"])
def read_rows_kernel(
    rows, token_ids, row_positions, positions, done, tokens, tokens_stride, num_rows,
    BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for BLOCK rows."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = row < num_rows
    slot = tl.load(rows + row, mask=real, other=0).to(tl.int64)
    lead = tl.load(rows + row // BEAMS * BEAMS, mask=real, other=0)
    position = tl.load(positions + lead, mask=real, other=0)
    position = tl.where(tl.load(done + lead, mask=real, other=1) > 0, 0, position)
    token = tl.load(tokens + slot * tokens_stride + position, mask=real, other=0)
    tl.store(token_ids + row, token, mask=real)
    tl.store(row_positions + row, position, mask=real)


@triton.jit
def length_penalty(length, alpha, mean):
    """((5 + length) / 6) ^ alpha, or length ^ alpha if `mean`, float64."""
    length = length.to(tl.float64)
    return tl.exp(alpha * tl.log(tl.where(mean, length, (5.0 + length) / 6.0)))


@triton.jit
def candidate_totals(
    scores, rows, live, group, position, forced,
    BEAMS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(BLOCK,) log-probabilities of the group's hypotheses with one more token.

    If that is `forced`, it is the first candidate of each hypothesis, and costs nothing.
    """
    candidate = tl.arange(0, BLOCK)
    real = candidate < BEAMS * WIDTH
    row = group * BEAMS + candidate // WIDTH
    slot = tl.load(rows + row, mask=real, other=0)
    past = tl.load(live + slot, mask=real, other=0.0)
    # One hypothesis to begin with: the other rows are copies that must not be chosen.
    fresh = tl.where(row == group * BEAMS, 0.0, float("-inf"))
    past = tl.where(position == 0, fresh, past)
    place = group * BEAMS * WIDTH + candidate
    total = tl.load(scores + place, mask=real, other=float("-inf")) + past
    total = tl.where(forced, tl.where(candidate % WIDTH == 0, past, float("-inf")), total)
    # NaN and infinity are what only broken numbers give: nothing may be made of them.
    finite = real & (total == total) & (total < float("inf"))
    return tl.where(finite, total, float("-inf"))


@triton.jit
def ended_scores(
    log_probs, lengths, rows, group, ended, alpha, mean, trace_stride,
    BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """(BLOCK,) float64 scores of the hypotheses that have ended, -inf behind them."""
    entry = tl.arange(0, BLOCK)
    real = entry < ended
    slot = tl.load(rows + group * BEAMS + entry // 2, mask=real, other=0).to(tl.int64)
    place = slot * trace_stride + entry % 2
    log_prob = tl.load(log_probs + place, mask=real, other=0.0).to(tl.float64)
    length = tl.load(lengths + place, mask=real, other=1)
    score = log_prob / length_penalty(length, alpha, mean)
    return tl.where(real, score, float("-inf"))


@triton.jit
def record_ended(
    log_probs, beams, lengths, tokens, rows, group, entry, trace_stride,
    which, log_prob, beam, length, token, BEAMS: tl.constexpr,
):  # fmt: skip
    """Writes the ended hypothesis `entry` of the group, if `which`."""
    slot = tl.load(rows + group * BEAMS + entry // 2, mask=which, other=0).to(tl.int64)
    place = slot * trace_stride + entry % 2
    tl.store(log_probs + place, log_prob, mask=which)
    tl.store(beams + place, beam, mask=which)
    tl.store(lengths + place, length, mask=which)
    tl.store(tokens + place, token, mask=which)


@triton.jit
def nth_largest(values, n, BLOCK: tl.constexpr):
    """The n-th largest of (BLOCK,) values; n counts from 1."""
    place = tl.arange(0, BLOCK)
    equal = (values[None, :] == values[:, None]) & (place[None, :] < place[:, None])
    before = tl.sum(((values[None, :] > values[:, None]) | equal).to(tl.int32), axis=1)
    return tl.max(tl.where(before == n - 1, values, float("-inf")), axis=0)


@triton.jit
def split_candidates(
    total, token, score, ended, running, length, penalty, eos_id, end, as_transformers, as_marian,
    full, log_probs, beams, lengths, tokens, rows, group, trace_stride,
    BEAMS: tl.constexpr, BEAM_BLOCK: tl.constexpr, PER_BEAM: tl.constexpr,
    BLOCK: tl.constexpr, ENDED_BLOCK: tl.constexpr, COUNT: tl.constexpr,
):  # fmt: skip
    """Takes the COUNT best candidates, best first: they end, or they are among the survivors.

    As in transformers, only the BEAMS best of those that ended are kept, and at the limit all end;
    this they do as in Marian, too, whose beam is narrower by those that ended in earlier steps.

    Returns:
        Survivors (BEAM_BLOCK,): log-probabilities, -inf where there are fewer than BEAMS, parents
        and tokens; then the scores of all that ended (ENDED_BLOCK,), and how many those are.
    """
    candidate = tl.arange(0, BLOCK)
    beam = tl.arange(0, BEAM_BLOCK)
    entry = tl.arange(0, ENDED_BLOCK)
    live = tl.full((BEAM_BLOCK,), float("-inf"), tl.float32)
    parents = tl.zeros((BEAM_BLOCK,), tl.int32)
    next_tokens = tl.zeros((BEAM_BLOCK,), tl.int32)
    survivors = 0
    width = tl.where(as_marian, BEAMS - ended, BEAMS)
    looked_at = tl.where(as_marian, width, COUNT)
    for rank in tl.static_range(COUNT):
        best = tl.max(total, axis=0)
        winner = tl.min(tl.where(total == best, candidate, BLOCK), axis=0)
        best_token = tl.sum(tl.where(candidate == winner, token, 0), axis=0)
        parent = winner // PER_BEAM
        total = tl.where(candidate == winner, float("-inf"), total)
        ends = (best_token == eos_id) & (best > float("-inf"))
        looking = (survivors < width) & (rank < looked_at)
        if rank < BEAMS:
            own = best.to(tl.float64) / penalty
            crowded = as_transformers & (ended >= BEAMS)
            worst = tl.min(tl.where(entry < ended, score, float("inf")), axis=0)
            at = tl.min(tl.where((entry < ended) & (score == worst), entry, ENDED_BLOCK), axis=0)
            compete = (as_transformers | as_marian) & full & (best > float("-inf"))
            which = (ends | compete) & looking & running & ((crowded == 0) | (own > worst))
            place = tl.where(crowded, at, ended)
            record_ended(
                log_probs, beams, lengths, tokens, rows, group, place, trace_stride,
                which, best, parent, length, tl.where(ends, end, best_token), BEAMS,
            )  # fmt: skip
            score = tl.where((entry == place) & which, own, score)
            ended += (which & (crowded == 0)).to(tl.int32)
        lives = (ends == 0) & looking
        here = (beam == survivors) & lives
        live = tl.where(here, best, live)
        parents = tl.where(here, parent, parents)
        next_tokens = tl.where(here, best_token, next_tokens)
        survivors += lives.to(tl.int32)
    return live, parents, next_tokens, score, ended


@triton.jit
def cut_off_survivors(
    live, parents, next_tokens, missing, ended, running, length,
    log_probs, beams, lengths, tokens, rows, group, trace_stride,
    BEAMS: tl.constexpr, BEAM_BLOCK: tl.constexpr,
):  # fmt: skip
    """At the limit: as many survivors end as are still missing. Returns how many have ended."""
    beam = tl.arange(0, BEAM_BLOCK)
    for row in tl.static_range(BEAMS):
        log_prob = tl.sum(tl.where(beam == row, live, 0.0), axis=0)
        parent = tl.sum(tl.where(beam == row, parents, 0), axis=0)
        token = tl.sum(tl.where(beam == row, next_tokens, 0), axis=0)
        which = running & (row < missing) & (log_prob > float("-inf"))
        record_ended(
            log_probs, beams, lengths, tokens, rows, group, ended, trace_stride,
            which, log_prob, parent, length, token, BEAMS,
        )  # fmt: skip
        ended += which.to(tl.int32)
    return ended


@triton.jit
def candidate_ids(tokens, group, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """The token ids of the COUNT candidates of a group: (BLOCK,), with zeros behind them."""
    candidate = tl.arange(0, BLOCK)
    return tl.load(tokens + group * COUNT + candidate, mask=candidate < COUNT, other=0)


@triton.jit
def cannot_improve(
    live, score, ended, wanted, limit, length, alpha, mean, as_transformers, as_marian,
    BEAMS: tl.constexpr, ENDED_BLOCK: tl.constexpr,
):  # fmt: skip
    """Whether no survivor can replace one of those that have ended, or none is left."""
    best = tl.max(live, axis=0)
    wanted = tl.where(as_transformers, BEAMS, wanted)
    reach = tl.where(as_transformers, length, limit)
    best_possible = best.to(tl.float64) / length_penalty(reach, alpha, mean)
    enough = (ended >= wanted) & (best_possible <= nth_largest(score, wanted, ENDED_BLOCK))
    crowded = (as_transformers == 0) & (ended >= BEAMS)
    return (best == float("-inf")) | ((crowded | enough) & (as_marian == 0))


@triton.jit
def store_survivors(
    live, from_beams, next_tokens, goes_on, length, tokens, parents, live_log_probs, rows,
    group, trace_stride, BEAMS: tl.constexpr, BEAM_BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes what the next step reads of each survivor, if there is a next step."""
    beam = tl.arange(0, BEAM_BLOCK)
    mine = beam < tl.where(goes_on, BEAMS, 0)
    slot = tl.load(rows + group * BEAMS + beam, mask=mine, other=0).to(tl.int64)
    tl.store(tokens + slot * trace_stride + length, next_tokens, mask=mine)
    tl.store(parents + slot * trace_stride + length, from_beams, mask=mine)
    tl.store(live_log_probs + slot, live, mask=mine)


@triton.jit
def advance_kernel(
    scores, candidate_tokens, rows, flags,
    positions, limits, wanteds, endeds, dones, givens, alphas, normalizations, searches,
    forced_ends, live_log_probs, tokens, parents,
    ended_log_probs, ended_beams, ended_lengths, ended_tokens, trace_stride, eos_id,
    BEAMS: tl.constexpr, BEAM_BLOCK: tl.constexpr, ENDED_BLOCK: tl.constexpr,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, COUNT: tl.constexpr,
    ENDED: tl.constexpr, CUT_OFF: tl.constexpr,
):  # fmt: skip
    """One program for each group: `BeamSearch.advance`, word by word, with masks for its ifs."""
    group = tl.program_id(0)
    lead = tl.load(rows + group * BEAMS)
    position = tl.load(positions + lead)
    limit, wanted = tl.load(limits + lead), tl.load(wanteds + lead)
    ended, running = tl.load(endeds + lead), tl.load(dones + lead) == 0
    alpha, mean = tl.load(alphas + lead), tl.load(normalizations + lead) == 1
    search = tl.load(searches + lead)
    as_transformers, as_marian = search == 1, search == 2
    length = position + 1
    full, given = length >= limit, position < tl.load(givens + lead)
    forced_end = full & (tl.load(forced_ends + lead) > 0)
    total = candidate_totals(
        scores, rows, live_log_probs, group, position, given | forced_end, BEAMS, WIDTH, BLOCK,
    )  # fmt: skip
    own = tokens + lead.to(tl.int64) * trace_stride
    forced_token = tl.load(own + length, mask=given, other=eos_id)
    token = candidate_ids(candidate_tokens, group, BEAMS * WIDTH, BLOCK)
    token = tl.where(given | forced_end, forced_token, token)
    score = ended_scores(
        ended_log_probs, ended_lengths, rows, group, ended, alpha, mean, trace_stride,
        BEAMS, ENDED_BLOCK,
    )  # fmt: skip
    # All has been read that other threads of this program are about to overwrite.
    tl.debug_barrier()
    live, from_beams, next_tokens, score, ended = split_candidates(
        total, token, score, ended, running, length, length_penalty(length, alpha, mean), eos_id,
        tl.where(forced_end, CUT_OFF, ENDED), as_transformers, as_marian, full,
        ended_log_probs, ended_beams, ended_lengths, ended_tokens, rows, group, trace_stride,
        BEAMS, BEAM_BLOCK, WIDTH, BLOCK, ENDED_BLOCK, COUNT,
    )  # fmt: skip
    ended = cut_off_survivors(
        live, from_beams, next_tokens, wanted - ended, ended,
        running & full & (as_transformers == 0) & (as_marian == 0), length,
        ended_log_probs, ended_beams, ended_lengths, ended_tokens, rows, group, trace_stride,
        BEAMS, BEAM_BLOCK,
    )  # fmt: skip
    done = full | cannot_improve(
        live, score, ended, wanted, limit, length, alpha, mean, as_transformers, as_marian,
        BEAMS, ENDED_BLOCK,
    )  # fmt: skip
    tl.store(flags + group, tl.where(done | (running == 0), 1 + ended, 0))
    goes_on = running & (done == 0)
    store_survivors(
        live, from_beams, next_tokens, goes_on, length, tokens, parents, live_log_probs, rows,
        group, trace_stride, BEAMS, BEAM_BLOCK,
    )  # fmt: skip
    tl.store(positions + lead, length, mask=goes_on)
    tl.store(endeds + lead, ended, mask=running)
    tl.store(dones + lead, done.to(tl.int32), mask=running)


@triton.jit
def reorder_beams_kernel(
    rows, row_positions, dones, parents, ancestors, trace_stride, half_stride, ancestors_stride,
    BEAMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for each row: its parent's ancestors, and its parent."""
    row = tl.program_id(0)
    first = row // BEAMS * BEAMS
    # Nobody needs the ancestors of what is done, whose parents were not written.
    if tl.load(dones + tl.load(rows + first)) == 0:
        slot = tl.load(rows + row).to(tl.int64)
        position = tl.load(row_positions + row)
        beam = tl.load(parents + slot * trace_stride + position + 1)
        parent = tl.load(rows + first + beam).to(tl.int64)
        old = ancestors + (position % 2) * half_stride + parent * ancestors_stride
        new = ancestors + ((position + 1) % 2) * half_stride + slot * ancestors_stride
        for start in range(0, position + 1, BLOCK):
            place = start + tl.arange(0, BLOCK)
            holder = tl.load(old + place, mask=place < position, other=0)
            holder = tl.where(place == position, parent.to(tl.int32), holder)
            tl.store(new + place, holder, mask=place <= position)
