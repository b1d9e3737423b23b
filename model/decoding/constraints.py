"""The repetition guard: what a hypothesis may not say again.

`no_repeat_ngram_size` and `repetition_penalty` look at the target alone. `limit_repeats` ends loops
and nothing else (`repeats`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.config import GenerationConfig
from model.decoding.repeats import banned_tokens

__all__ = ["constrain"]


def constrain(
    log_probs: Tensor,
    history: Sequence[int],
    generation: GenerationConfig,
    eos_id: int,
    copies: int = 1,
) -> None:
    """Applies the guard to one row of log-probabilities (V,), in place.

    The end token is never banned: a hypothesis must be able to end. `copies`: of the source, see
    `most_copies`.
    """
    if not history:
        return
    if generation.repetition_penalty != 1.0:
        seen = log_probs.new_tensor(sorted(set(history)), dtype=torch.long)
        log_probs[seen] *= generation.repetition_penalty
    banned = banned_tokens(history, generation, eos_id, copies)
    if banned:
        log_probs[log_probs.new_tensor(sorted(banned), dtype=torch.long)] = float("-inf")
