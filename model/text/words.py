"""The words of a text, and where they are."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence

__all__ = [
    "WITHOUT_SPACES",
    "Span",
    "capitalized_before",
    "each_word",
    "overlapping",
    "with_letters_for_marks",
    "words",
]

Span = tuple[int, int]
"""Where something begins and ends in a text, in code points; the end is behind the last."""

_MOST_BEFORE = 24
_WORD_BEFORE = re.compile(r"(\w+)[ \xa0]\Z")
_STAND_IN = "a"
_WITHIN_WORDS = "\xad\u200c\u200d"
"""A soft hyphen, and what keeps letters apart (in Persian above all) or joins them."""
_WORD = re.compile(r"\d+(?:[.,:]\d+)+|\w+(?:['\u2019]\w+)*|\S")
WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: they write words without spaces between them."""


def words(
    text: str, *, whole: Sequence[Span] = (), boundaries: Collection[int] = frozenset()
) -> list[Span]:
    """The words of `text` in their order: none is empty, none begins or ends with white space.

    A word is of letters, digits and what is combined with them, with single apostrophes between,
    and points, commas and colons between digits; any other sign is a word of its own.

    Args:
        whole: parts that are one word each, whatever is in them; in order, apart from each other.
        boundaries: where words may end in a script that is written without spaces.
    """
    found: list[Span] = []
    at = 0
    for begin, end in [*whole, (len(text), len(text))]:
        found += _words_within(text, at, begin, boundaries)
        if begin < end:
            found.append((begin, end))
        at = end
    return found


def each_word(text: str) -> Iterator[Span]:
    """`words`, as they are found."""
    return _words_within(text, 0, len(text), frozenset())


def capitalized_before(text: str, begin: int) -> str | None:
    """The word that ends a space before `begin`, if it begins with a capital; else None."""
    word = _WORD_BEFORE.search(text, max(0, begin - _MOST_BEFORE), begin)
    return word[1] if word is not None and word[1][0].isupper() else None


def overlapping(spans: Sequence[Span], begin: int, end: int) -> range:
    """Which of `spans`, in order and apart from each other, have a character in common with one."""
    first = bisect_right(spans, begin, key=lambda span: span[1])
    return range(first, max(first, bisect_left(spans, end, key=lambda span: span[0])))


def _words_within(text: str, begin: int, end: int, boundaries: Collection[int]) -> Iterator[Span]:
    part = text[begin:end]
    if not part.isascii():
        part = with_letters_for_marks(part)
    for match in _WORD.finditer(part):
        first, last = begin + match.start(), begin + match.end()
        if boundaries and not part.isascii() and WITHOUT_SPACES.search(text, first, last):
            for place in range(first + 1, last):
                near = WITHOUT_SPACES.search(text, place - 1, place + 1)
                if place in boundaries and near and _stands_alone(text[place]):
                    yield first, place
                    first = place
        yield first, last


def with_letters_for_marks(part: str) -> str:
    """As long as `part`, with a letter for what is combined with the character before it."""
    if all(map(_stands_alone, set(part))):
        return part
    signs = list(part)
    for place in range(1, len(signs)):
        joined = part[place - 1] == "\u200d" or not _stands_alone(part[place])
        if joined and not part[place - 1].isspace() and not part[place].isspace():
            signs[place] = _STAND_IN
            if not signs[place - 1].isalnum():
                signs[place - 1] = _STAND_IN
    return "".join(signs)


def _stands_alone(sign: str) -> bool:
    """Whether it is no accent, joiner or modifier of the character before it."""
    if sign.isascii() or sign.isalpha():
        return True
    return not (
        sign in _WITHIN_WORDS
        or "\U0001f3fb" <= sign <= "\U0001f3ff"
        or unicodedata.category(sign).startswith("M")
    )
