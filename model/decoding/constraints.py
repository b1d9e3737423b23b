"""The repetition guard: what a hypothesis may not say again. Off unless a request asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.config import GenerationConfig

__all__ = ["banned_by_ngrams", "constrain"]


def banned_by_ngrams(history: Sequence[int], ngram_size: int) -> set[int]:
    """Tokens that would complete an n-gram of `ngram_size` which `history` already has."""
    if ngram_size < 1 or len(history) < ngram_size - 1:
        return set()
    split = len(history) - (ngram_size - 1)
    tail = tuple(history[split:])
    starts = range(len(history) - ngram_size + 1)
    return {
        history[start + ngram_size - 1]
        for start in starts
        if tuple(history[start : start + ngram_size - 1]) == tail
    }


def constrain(
    log_probs: Tensor, history: Sequence[int], generation: GenerationConfig, eos_id: int
) -> None:
    """Applies the guard to one row of log-probabilities (V,), in place.

    The end token is never banned: a hypothesis must be able to end.
    """
    if not history:
        return
    if generation.repetition_penalty != 1.0:
        seen = log_probs.new_tensor(sorted(set(history)), dtype=torch.long)
        log_probs[seen] *= generation.repetition_penalty
    banned = banned_by_ngrams(history, generation.no_repeat_ngram_size) - {eos_id}
    if banned:
        log_probs[log_probs.new_tensor(sorted(banned), dtype=torch.long)] = float("-inf")
