"""The token ids by which a source tells random weights how long its target is to be."""

from __future__ import annotations

__all__ = ["FIRST_FREE_ID", "FIRST_LENGTH_ID", "MAX_PLANNED_TOKENS", "length_token"]

MAX_PLANNED_TOKENS = 127
"""Longest target that can be planned, the end token included."""
FIRST_LENGTH_ID = 5
"""Asks for a target of one token; the special ids stand before it."""
FIRST_FREE_ID = FIRST_LENGTH_ID + MAX_PLANNED_TOKENS
"""The first token id that means nothing."""


def length_token(target_tokens: int) -> int:
    """The source token that asks for a target of so many tokens, the end token included."""
    if not 1 <= target_tokens <= MAX_PLANNED_TOKENS:
        raise ValueError(
            f"`target_tokens` must be in [1, {MAX_PLANNED_TOKENS}], but is {target_tokens}"
        )
    return FIRST_LENGTH_ID + target_tokens - 1
