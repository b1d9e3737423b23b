"""Which words of a text and of its translation say the same."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from model.text.words import Span, each_word

__all__ = ["WordLink", "composed", "kept_words", "moved"]


class WordLink(NamedTuple):
    """A word of a text and one of its translation that say the same; spans in code points."""

    source: Span
    target: Span


def composed(first: Sequence[WordLink], second: Sequence[WordLink]) -> tuple[WordLink, ...]:
    """The links of a text with the translation of its translation.

    Args:
        first: with the translation, which is the text of the second.
        second: of that with its own translation, in order.
    """
    starts = [link.source for link in second]
    links: set[WordLink] = set()
    for source, target in first:
        place = bisect_right(starts, (target[0], target[0]))
        # Words are apart from each other: only the one before can reach into this one.
        while place > 0 and starts[place - 1][1] > target[0]:
            place -= 1
        while place < len(second) and starts[place][0] < target[1]:
            links.add(WordLink(source, second[place].target))
            place += 1
    return tuple(sorted(links))


def kept_words(text: str) -> Iterator[WordLink]:
    """The words of a text that stays as it is, each with itself, as they are found."""
    return (WordLink(span, span) for span in each_word(text))


def moved(links: Iterable[WordLink], source: int, target: int) -> list[WordLink]:
    """The links in texts that begin `source` and `target` characters earlier."""
    return [
        WordLink((a + source, b + source), (c + target, d + target)) for (a, b), (c, d) in links
    ]
