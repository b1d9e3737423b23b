"""Loops in a translation: words, or parts of one, that come again and again where the text does not
say them so often.

They are told by words and letters, for it takes these to know them: digits, dots and dashes are
repeated for good reasons (10,000), and so is a letter in `Schifffahrt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.text.words import Span

__all__ = ["Loop", "find_loop", "held_back", "most_copies_said"]

_WORD_OR_SIGN = re.compile(r"[^\W_]+|[^\s\w]|_")
_MOST_WORDS = 8
"""Words of the longest phrase whose copies are counted."""
_MOST_LETTERS = 12
"""Letters of the longest part of a word."""
_LEAST_COPIES = 3
"""Fewer are no loop, whatever the text says."""
_LEAST_OF_LETTERS = (4, 4)
"""The same of one letter and of two within a word: `Schifffahrt`, `erschienenen`."""


class Loop(NamedTuple):
    """Copies of a phrase, or of a part of a word, one behind the other."""

    begin: int
    """Where in the translation the first one begins."""
    keep: int
    """Where the last one ends that the translation may have."""


class _Run(NamedTuple):
    """Some copies, one behind the other."""

    begin: int
    ends: tuple[int, ...]
    """Where each of them ends."""

    @property
    def copies(self) -> int:
        return len(self.ends)

    def end_of(self, copies: int) -> int:
        """Where so many copies end, two of a single letter at least: words have double ones."""
        of_letter = self.ends[1] - self.ends[0] == 1
        return self.ends[max(copies, 1 + of_letter) - 1]


def find_loop(text: str, translation: str) -> Loop | None:
    """The first loop of a translation; None if it has none.

    A phrase, or a part of a word, is one if it is there three times or more, and at least twice
    more often than `text` has copies of anything: a very old man may be very, very old. Of a loop
    as many may stay as the text has.
    """
    runs = [run for run in _runs(translation) if run.copies >= _LEAST_COPIES]
    if not runs:
        return None
    said = most_copies_said(text)
    runs = [run for run in runs if run.copies > said + 1]
    if not runs:
        return None
    first = min((run.end_of(said), run.begin) for run in runs)
    return Loop(*first[::-1])


def held_back(text: str, begun: str) -> int:
    """From which character on what a translation begins with may yet be told to be of a loop.

    Args:
        text: the source.
        begun: what its translation begins with; its last word may go on.
    """
    loop = find_loop(text, begun)
    at = len(begun) if loop is None else loop.keep
    spans = [match.span() for match in _WORD_OR_SIGN.finditer(begun)]
    said = [_small(begun[begin:end]) for begin, end in spans]
    if not said:
        return at
    for size in range(1, min(_MOST_WORDS, len(said) - 1) + 1):
        if said[-1 - size].startswith(said[-1]):
            alike = 1 + _num_alike_at_end(said[:-1], size)
            at = min(at, spans[len(said) - alike - 1][1])
    word, end = said[-1], spans[-1][1]
    for size in range(1, min(_MOST_LETTERS, len(word) - 1) + 1):
        at = min(at, end - _num_alike_at_end(word, size))
    return at


def most_copies_said(text: str) -> int:
    """How many copies of a phrase, or of a part of a word, a text has one behind the other, at
    most; at least one."""
    return max((run.copies for run in _runs(text, digits=True)), default=1)


def _runs(text: str, *, digits: bool = False) -> Iterator[_Run]:
    """Copies of phrases, at least two, and of parts of words, at least three; `digits`: also where
    they have no letters."""
    spans = [match.span() for match in _WORD_OR_SIGN.finditer(text)]
    said = [_small(text[begin:end]) for begin, end in spans]
    for size in range(1, _MOST_WORDS + 1):
        for first, last in _alike(said, size):
            if digits or any(map(str.isalpha, "".join(said[first : first + size]))):
                ends = spans[first + size - 1 : last : size]
                yield _Run(spans[first][0], tuple(end for _, end in ends))
    for word, (begin, _) in zip(said, spans, strict=True):
        yield from _runs_within(word, begin, digits=digits)


def _runs_within(word: str, begin: int, *, digits: bool) -> Iterator[_Run]:
    """Copies of parts of a word that begins at a place of its text."""
    for size in range(1, _MOST_LETTERS + 1):
        least = _LEAST_COPIES
        if not digits and size <= len(_LEAST_OF_LETTERS):
            least = _LEAST_OF_LETTERS[size - 1]
        for first, last in _alike(word, size):
            if last - first >= least * size and (digits or word[first : first + size].isalpha()):
                ends = range(begin + first + size, begin + last + 1, size)
                yield _Run(begin + first, tuple(ends))


def _small(word: str) -> str:
    """In small letters, if it has as many then."""
    small = word.lower()
    return small if len(small) == len(word) else word


def _alike(items: Sequence[str], size: int) -> Iterator[Span]:
    """Where so many items are the same as those behind them, again and again: from the first up to
    behind the last copy's last."""
    begin = 0
    for place in range(size, len(items) + 1):
        if place == len(items) or items[place] != items[place - size]:
            if place - begin >= 2 * size:
                yield begin, place
            begin = place - size + 1


def _num_alike_at_end(items: Sequence[str], size: int) -> int:
    """How many of the last items are the same as those so many before them."""
    count = 0
    while count < len(items) - size and items[-1 - count] == items[-1 - count - size]:
        count += 1
    return count
