"""Words and what they are in the other language, as far as pairs tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

__all__ = ["WORD", "lexicon"]

WORD = re.compile(r"(?<![\w'\u2019-])\w+(?![\w'\u2019-])")
"""What stands alone, and is no part of a compound."""

_MOST_PAIRS = 20_000
_MOST_COMBINATIONS = 500
"""Most pairings of a source word and a target word; longer pairs say little for much time."""
_LEAST_TOGETHER = 4
"""Pairs of which two words are in, for them to be taken for each other's translation."""
_LEAST_SCORE = 0.35

_Words = tuple[str, str]


def lexicon(pairs: Sequence[tuple[str, str]]) -> set[_Words]:
    """(word, its translation): in the same pairs, and each prefers the other to all others.

    By Dice's coefficient (Smadja et al., 1996), twice the pairs that have both by the sum of those
    that have the one and the other, in the first 20,000 pairs.
    """
    alone: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    together: Counter[_Words] = Counter()
    for pair in pairs[:_MOST_PAIRS]:
        left, right = (set(WORD.findall(side)) for side in pair)
        if len(left) * len(right) <= _MOST_COMBINATIONS:
            alone[0].update(left)
            alone[1].update(right)
            together.update(product(left, right))
    scores = {
        words: 2 * count / (alone[0][words[0]] + alone[1][words[1]])
        for words, count in together.items()
        if count >= _LEAST_TOGETHER
    }
    best = [_best(scores, side) for side in (0, 1)]
    return {
        words
        for words, score in scores.items()
        if score >= _LEAST_SCORE
        and all(side[word] == (score, False) for side, word in zip(best, words, strict=True))
    }


def _best(scores: Mapping[_Words, float], side: int) -> dict[str, tuple[float, bool]]:
    """The best score of each word of one side, and whether several others share it."""
    best: dict[str, tuple[float, bool]] = {}
    for words, score in scores.items():
        highest, _ = best.get(words[side], (0.0, False))
        if score >= highest:
            best[words[side]] = (score, score == highest)
    return best
