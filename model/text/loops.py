"""Loops in a translation: words, or parts of one, that come again and again where the text does not
say them so often.

They are told by words and letters, for it takes these to know them: digits, dots and dashes are
repeated for good reasons (10,000), and so is a letter in `Schifffahrt`. Hence what is finished is
read, and copies are left out: what a model says behind a loop mostly goes on as if there were none,
while one that is searched for again without the word loses what the word would have led to.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import eq
from typing import NamedTuple

from model.text.words import WITHOUT_SPACES, Span, with_letters_for_marks

__all__ = ["Cut", "find_loop", "held_back", "most_copies_said"]

_WORD = re.compile(r"[^\W_]+")
_MARK = re.compile(r"[^\x00-\x7f\w\s\xa1-\xbf\u2010-\u205e]")
"""Without this, there is nothing that is combined with a letter."""
_WORD_OR_SIGN = re.compile(r"[^\W_]+|[^\s\w]|_")
_MOST_WORDS = 8
"""Words of the longest phrase whose copies are counted."""
_MOST_LETTERS = 12
"""Letters of the longest part of a word."""
_MOST_OF_SOURCE = 4
"""Times as many of these in a source: what it says in more words may be said again, too."""
_LEAST_COPIES = 3
"""Fewer are no loop, whatever the text says."""
_LEAST_OF_APART = 4
"""The same of words with various signs between them: `die, die die Wahl haben`."""
_LEAST_OF_LETTERS = (4, 4)
"""The same of one letter and of two within a word: `Schifffahrt`, `erschienenen`."""
_THRICE = re.compile(rf"(.{{1,{_MOST_LETTERS * _MOST_OF_SOURCE}}}?)\1\1")
"""What words have that are looked through: it is faster."""
_DOUBLED = frozenset(["das", "den", "der", "die", "had", "that"])
"""Words of which two have a meaning: the woman `die die Strecke kennt`."""
_NOT_SAID = ".,:;!?\u2026'\"()[]<>|/~=*_-\u2013\u2014"
"""Signs that no word is for, so that a source that has many of them says nothing often."""

Cut = Span
"""What is to be left out of a translation."""


class _Run(NamedTuple):
    """Some copies, one behind the other."""

    begin: int
    ends: tuple[int, ...]
    """Where each of them ends."""
    within_word: bool
    behind: int
    """How many letters of a further copy are there."""
    least: int
    """Fewer copies are none."""

    @property
    def copies(self) -> int:
        return len(self.ends)

    def known_at(self, said: int) -> int:
        """Where it is known to be a loop, in a translation of what says something so often."""
        return self.ends[max(said + 2, self.least) - 1]

    def cuts(self, copies: int, decided: int) -> list[Cut]:
        """What may be left out so that so many copies stay, each of it enough; nothing before a
        place."""
        copies = max(copies, 1 + bisect_left(self.ends, decided))
        if copies >= self.copies:
            return []
        keep, end, size = self.ends[copies - 1], self.ends[-1], self.ends[1] - self.ends[0]
        if not self.within_word:
            return [(keep, end)]
        shifted = ((keep + by, end + by - (0 if by <= self.behind else size)) for by in range(size))
        return [cut for cut in shifted if cut[0] < cut[1]]


def find_loop(text: str, translation: str, decided: int = 0) -> list[Cut]:
    """What is to be left out of a translation for its first loop: one of these; empty if it has
    none.

    A phrase, or a part of a word, is a loop if it is there three times or more, and at least twice
    more often than `text` has copies of anything: a very old man may be very, very old. Of a loop
    as many stay as the text has; two where words have two. The first one is that which is known
    first to be a loop as the translation is read: so what of it was told before stays.

    Args:
        text: the source.
        translation: of it.
        decided: how many of its first characters must stay: those before the last place where
            something was left out. They may have been told already.
    """
    if not _may_have_loop(translation):
        return []
    runs = [run for run in _runs(translation) if run.copies >= _LEAST_COPIES]
    if not runs:
        return []
    said = most_copies_said(text)
    runs = [run for run in runs if run.copies > said + 1]
    for run in sorted(runs, key=lambda run: (run.known_at(said), run.begin)):
        copy = _small(translation[run.begin : run.ends[0]])
        may_be_double = copy in _DOUBLED or (run.within_word and len(copy) == 1)
        if cuts := run.cuts(max(said, 1 + may_be_double), decided):
            return cuts
    return []


def _may_have_loop(translation: str) -> bool:
    """Whether anything may be there three times, which most translations tell at once."""
    small = translation.lower()
    words = _WORD.findall(small)
    different = set(words)
    most = min(_MOST_WORDS, (len(words) - len(different)) // 2)
    return (
        any(sum(map(eq, words[size:], words)) >= 2 * size for size in range(1, most + 1))
        # A part that is there three times has each of its letters as often.
        or any(map(_THRICE.search, [word for word in different if len(word) - len(set(word)) > 1]))
        or not (small.isascii() or _MARK.search(small) is None)
    )


def held_back(begun: str) -> int:
    """From which character on what a translation begins with may yet be told to be of a loop; its
    last word may go on, and signs behind it stand between two copies perhaps."""
    spans, said = _words_and_signs(begun)
    words = [place for place, each in enumerate(said) if each[0].isalnum()]
    if not words:
        return 0
    at = spans[words[-1]][1]
    for places in (range(len(said)), words):
        at = min(at, _end_before_alike([said[n] for n in places], [spans[n] for n in places], at))
    word, end = said[words[-1]], spans[words[-1]][1]
    for size in range(1, min(_MOST_LETTERS, len(word) - 1) + 1):
        at = min(at, end - _num_alike_at_end(word, size))
    return at


def most_copies_said(text: str) -> int:
    """How many copies of a phrase, or of a part of a word, a text has one behind the other, at
    most; at least one."""
    return max((run.copies for run in _runs(text, is_source=True)), default=1)


def _words_and_signs(text: str) -> tuple[list[Span], list[str]]:
    """Where the words and signs of a text are, and each in small letters. What is combined with a
    letter is of its word: without their vowels, many words of Hindi are the same."""
    letters = with_letters_for_marks(text) if _MARK.search(text) else text
    spans = [match.span() for match in _WORD_OR_SIGN.finditer(letters)]
    return spans, [_small(text[begin:end]) for begin, end in spans]


def _runs(text: str, *, is_source: bool = False) -> Iterator[_Run]:
    """Copies of phrases, at least two, and of parts of words, at least three; of a source also of
    what has no letters, and of longer ones."""
    spans, said = _words_and_signs(text)
    yield from _runs_of_phrases(said, spans, 2, is_source=is_source)
    # Whatever signs are between them: a loop does not care.
    without = [place for place, each in enumerate(said) if each[0].isalnum()]
    if len(without) < len(said):
        words, spans_of_words = [said[n] for n in without], [spans[n] for n in without]
        least = 2 if is_source else _LEAST_OF_APART
        yield from _runs_of_phrases(words, spans_of_words, least, is_source=is_source)
    for word, (begin, _) in zip(said, spans, strict=True):
        if _THRICE.search(word) or (is_source and WITHOUT_SPACES.match(word)):
            yield from _runs_within(word, begin, is_source=is_source)


def _runs_of_phrases(
    said: Sequence[str], spans: Sequence[Span], least: int, *, is_source: bool
) -> Iterator[_Run]:
    """Copies of phrases of so many words, or words and signs, at least `least` of each."""
    most = _MOST_WORDS * (_MOST_OF_SOURCE if is_source else 1)
    for size in range(1, min(most, len(said) // 2) + 1):
        for first, last in _alike(said, size):
            phrase = "".join(said[first : first + size])
            is_said = phrase.strip(_NOT_SAID) if is_source else any(map(str.isalpha, phrase))
            if is_said and last - first >= least * size:
                ends = spans[first + size - 1 : last : size]
                yield _Run(spans[first][0], tuple(end for _, end in ends), False, 0, least)


def _runs_within(word: str, begin: int, *, is_source: bool) -> Iterator[_Run]:
    """Copies of parts of a word that begins at a place of its text."""
    most = _MOST_LETTERS * (_MOST_OF_SOURCE if is_source else 1)
    for size in range(1, min(most, len(word) // 2) + 1):
        least = _LEAST_COPIES
        if is_source and size > 1 and WITHOUT_SPACES.match(word):
            least = 2  # it is of several words
        elif not is_source and size <= len(_LEAST_OF_LETTERS):
            least = _LEAST_OF_LETTERS[size - 1]
        for first, last in _alike(word, size):
            part = word[first : first + size]
            if last - first >= least * size and (is_source or part.isalpha()):
                ends = range(begin + first + size, begin + last + 1, size)
                yield _Run(begin + first, tuple(ends), True, (last - first) % size, least)


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


def _end_before_alike(said: Sequence[str], spans: Sequence[Span], end: int) -> int:
    """Where the first copy of the phrase ends that is perhaps being said again at the end of a
    text; `end` if none is."""
    for size in range(1, min(_MOST_WORDS, len(said) - 1) + 1):
        if said[-1 - size].startswith(said[-1]):
            alike = 1 + _num_alike_at_end(said[:-1], size)
            end = min(end, spans[len(said) - alike - 1][1])
    return end


def _num_alike_at_end(items: Sequence[str], size: int) -> int:
    """How many of the last items are the same as those so many before them."""
    count = 0
    while count < len(items) - size and items[-1 - count] == items[-1 - count - size]:
        count += 1
    return count
