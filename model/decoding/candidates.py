"""From logits to the few continuations a search looks at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.decoding.constraints import constrain
from model.decoding.search import BeamSearch, Candidate

__all__ = ["best_candidates"]


def best_candidates(
    logits: Tensor,
    searches: Sequence[BeamSearch],
    eos_id: int,
    attended: Sequence[list[int] | None] | None = None,
) -> list[list[Candidate]]:
    """The best continuations of each search, best first.

    Args:
        logits: (B, V); the rows of a search are consecutive, `beam_size` of them, in the order of
            `searches`. All searches have the same `beam_size`.
        searches: N searches, N * beam_size = B.
        eos_id: the end token, which no repetition guard may ban.
        attended: where in the source the rows of each search look, if it asks.

    Returns:
        For each search 2 * beam_size candidates, or one for a beam of one.
    """
    beam_size = searches[0].beam_size
    scores = _restricted(logits.float(), searches)
    log_norm = torch.logsumexp(scores, dim=-1)
    changed = [search.generation.constrained or search.constraints for search in searches]
    if any(changed):
        scores = scores.clone()
    for index, search in enumerate(searches):
        # Only its own rows: a search must not see, not even in rounding, what others ask for.
        if changed[index]:
            rows = slice(index * beam_size, (index + 1) * beam_size)
            scores[rows] -= log_norm[rows, None]
            log_norm[rows] = 0.0
            places = attended[index] if attended else None
            for beam, row in enumerate(scores[rows]):
                _constrain(row, search, beam, eos_id, places[beam] if places else None)
    chosen = _greedy if beam_size == 1 else _beam
    free = chosen(scores, log_norm, searches)
    return [search.forced() or best for search, best in zip(searches, free, strict=True)]


def _constrain(
    row: Tensor, search: BeamSearch, beam: int, eos_id: int, attended: int | None
) -> None:
    """Applies all constraints to one row of log-probabilities (V,), in place."""
    free = row.cpu().numpy().copy() if search.constraints else None
    constrain(row, search.history(beam), search.generation, eos_id, search.source_copies)
    if free is not None and search.forced() is None:
        log_probs = row.cpu().numpy()  # on a CPU it is the row itself
        search.constrain(beam, log_probs, free, attended)
        row.copy_(torch.from_numpy(log_probs))


def _restricted(scores: Tensor, searches: Sequence[BeamSearch]) -> Tensor:
    """Minus infinity for all that a search's shortlist does not have."""
    if all(search.options.predictable is None for search in searches):
        return scores
    restricted = torch.full_like(scores, float("-inf"))
    beam_size = searches[0].beam_size
    for index, search in enumerate(searches):
        rows = slice(index * beam_size, (index + 1) * beam_size)
        shortlist = search.options.predictable
        allowed = slice(None) if shortlist is None else torch.from_numpy(shortlist).long()
        restricted[rows, allowed] = scores[rows, allowed]
    return restricted


def _greedy(
    scores: Tensor, log_norm: Tensor, searches: Sequence[BeamSearch]
) -> list[list[Candidate]]:
    best, token_ids = scores.max(dim=-1)
    steps = (best - log_norm).tolist()
    return [
        [Candidate(0, token_id, search.live_log_probs[0] + step)]
        for search, token_id, step in zip(searches, token_ids.tolist(), steps, strict=True)
    ]


def _beam(
    scores: Tensor, log_norm: Tensor, searches: Sequence[BeamSearch]
) -> list[list[Candidate]]:
    beam_size = searches[0].beam_size
    width = min(2 * beam_size, scores.size(-1))
    # The best of a search are among the best of its rows: (B, V) -> (B, width) -> (N, 2 * K)
    row_scores, row_tokens = scores.topk(width, dim=-1)
    live = row_scores.new_tensor([search.live_log_probs for search in searches])
    totals = row_scores - log_norm[:, None] + live.view(-1, 1)
    totals = totals.view(len(searches), -1)
    totals, places = totals.topk(min(2 * beam_size, totals.size(-1)), dim=-1)
    token_ids = row_tokens.view(len(searches), -1).gather(1, places)
    return [
        [
            Candidate(place // width, token_id, total)
            for place, token_id, total in zip(*columns, strict=True)
        ]
        for columns in zip(places.tolist(), token_ids.tolist(), totals.tolist(), strict=True)
    ]
