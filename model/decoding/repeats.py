"""What a target may not repeat: n-grams, where a search asks for that, and loops.

A loop is a block of tokens that comes again and again, one copy behind the other. A block may come
as often as the source has copies of any block, and once more; one of one or two tokens three times
or twice more. So what the source repeats, the target may.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.config import GenerationConfig

__all__ = [
    "LONGEST_BLOCK",
    "banned_by_ngrams",
    "banned_by_repeats",
    "banned_tokens",
    "most_copies",
]

LONGEST_BLOCK = 32
"""Tokens of a block whose copies are counted."""


def most_copies(source_ids: Sequence[int]) -> int:
    """How many copies of a block are one behind the other in a source, at most; at least one."""
    most = 1
    if len(set(source_ids)) == len(source_ids):
        return most
    places: dict[int, list[int]] = {}
    runs: dict[int, tuple[int, int]] = {}
    """By the size of a block, the last token that is the same as that one block before, and how
    many before it are in a row."""
    for place, token in enumerate(source_ids):
        before = places.setdefault(token, [])
        for other in reversed(before):
            size = place - other
            if size > LONGEST_BLOCK:
                break
            last, length = runs.get(size, (-1, 0))
            length = length + 1 if last == place - 1 else 1
            runs[size] = place, length
            most = max(most, 1 + length // size)
        before.append(place)
    return most


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


def banned_by_repeats(history: Sequence[int], copies: int) -> set[int]:
    """Tokens that would begin one copy too many of the block that `history` ends with.

    Args:
        history: the target so far.
        copies: `most_copies` of the source.
    """
    banned = set()
    for size in range(1, min(LONGEST_BLOCK, len(history)) + 1):
        needed = size * (copies + max(1, 4 - size) - 1)
        if len(history) >= needed + size and all(
            history[-place] == history[-place - size] for place in range(1, needed + 1)
        ):
            banned.add(history[-size])
    return banned


def banned_tokens(
    history: Sequence[int], generation: GenerationConfig, eos_id: int, copies: int
) -> set[int]:
    """Tokens that may not be next; never the end token: a hypothesis must be able to end.

    Args:
        history: the target so far.
        generation: how to search.
        eos_id: the end token.
        copies: `most_copies` of the source.
    """
    banned = banned_by_ngrams(history, generation.no_repeat_ngram_size)
    if generation.limit_repeats:
        banned |= banned_by_repeats(history, copies)
    return banned - {eos_id}
