"""Numbers in words that models get wrong: forty-two, siebenundachtzig, nineteen ninety-nine.

Small models know hundreds, and make up the rest: here those of several words or parts have a value,
so that they are read, and written, in digits, as are ordinals from twenty on, and hours with
minutes in German. Known are English and German.
"""

from __future__ import annotations

from model.text.numbers import spelled_english, spelled_german
from model.text.numbers.values import Number, Quantity
from model.text.words import overlapping

__all__ = ["find_spelled"]

_LANGUAGES = {"de": (spelled_german, "."), "en": (spelled_english, ",")}
"""With what stands between the groups of their digits."""


def find_spelled(text: str, language: str) -> list[Number]:
    """The numbers in words of a text, in order; their `text` is how digits say it.

    None are single words (twenty, zwanzig), hundreds (three hundred, dreihundert), what is part of
    more, such as a longer ordinal, a fraction, a range of thousands or a longer number, or what may
    be no number at all, as in "two thirty-five".

    Args:
        text: a sentence, or a longer text.
        language: its code.
    """
    if language not in _LANGUAGES:
        return []
    words, between_groups = _LANGUAGES[language]
    # The only letter that is longer as a small one would move what is behind it.
    lowered = text.replace("\u0130", "I").lower()
    if not any(mark in lowered for mark in words.MARKS):
        return []
    found = [
        Number(begin, end, *_in_digits(value, between_groups))
        for begin, end, value in words.cardinals(lowered)
    ]
    others = sorted(words.ordinals_and_times(text, lowered))
    if not others:
        return found
    ends = [(each.begin, each.end) for each in others]
    rest = [each for each in found if not overlapping(ends, each.begin, each.end)]
    return sorted([*others, *rest])


def _in_digits(value: int, between_groups: str) -> tuple[str, Quantity]:
    """How digits say a value, and what it is; four digits may be a year, which has no groups."""
    if value < 10_000:
        return str(value), Quantity(str(value))
    return f"{value:,}".replace(",", between_groups), Quantity(str(value), grouped=True)
