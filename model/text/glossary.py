"""Terms of a glossary in a sentence: where they are, and what may be written for each."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from model.text.words import WITHOUT_SPACES, Span
from model.text_options import GlossaryEntry

__all__ = ["Glossary", "LetterCase", "TermMatch", "cased", "folded"]

_SAME = {
    **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2212", "-"),
}
_PREFIX = 3
"""Characters by which terms are told apart before they are looked up."""
_INVISIBLE = frozenset("\xad\u200b\u2060\ufeff")


class LetterCase(NamedTuple):
    """How a term is written in a sentence, compared with its entry."""

    capitals: bool = False
    """All its letters are, and not in the entry."""
    capitalized: bool = False
    """Its first letter is a capital, which is not in the entry, and no sentence begins with it."""


class TermMatch(NamedTuple):
    """A term in a sentence."""

    begin: int
    end: int
    entry: GlossaryEntry
    case: LetterCase
    said: re.Pattern[str] | None = None
    """What says it in a translation, and stays; None: the forms of its entry."""


class Glossary:
    """Finds terms. Made once for a glossary, which takes microseconds for each entry.

    A term is found where it stands as a word, or as several: no letter or digit goes on before or
    behind it, but in scripts without spaces. White space, apostrophes, hyphens, and the ways in
    which Unicode writes an accent are the same in all their forms. Of terms that overlap, the
    longest is found, and of those as long, the first one; of entries that differ by their case, the
    one that is case-sensitive.
    """

    def __init__(self, entries: Sequence[GlossaryEntry]) -> None:
        self._entries: dict[str, list[GlossaryEntry]] = {}
        """By their terms, folded."""
        lengths: dict[str, set[int]] = {}
        for entry in entries:
            if term := folded(entry.source)[0]:
                self._entries.setdefault(term, []).append(entry)
                lengths.setdefault(term[:_PREFIX], set()).add(len(term))
        self._lengths = {prefix: sorted(each) for prefix, each in lengths.items()}
        """The lengths of the terms that begin so; a term that is shorter than a prefix is one."""
        self._first = frozenset(prefix[0] for prefix in lengths)
        """What terms begin with."""
        self.num_entries = len(entries)

    def entries_in(self, texts: Iterable[str]) -> tuple[GlossaryEntry, ...]:
        """The entries whose terms are somewhere in `texts`, in no order: all that `find` may give
        for any part of them, and perhaps others. In time as `find`."""
        found: set[str] = set()
        for text in texts:
            form, _ = folded(text)
            found.update(term for _, _, term in self._places(form))
        return tuple(entry for term in sorted(found) for entry in self._entries[term])

    def find(self, sentence: str, taken: Sequence[Span] = ()) -> tuple[TermMatch, ...]:
        """The terms of `sentence`, in order, none touching another or one of `taken`.

        It takes time in proportion to the characters, and to the lengths that terms have.
        """
        if not self._entries:
            return ()
        text, origins = folded(sentence)
        if self._first.isdisjoint(text):
            return ()
        found = [*self._candidates(sentence, text, origins)]
        found.sort(key=lambda match: (match.begin - match.end, match.begin))
        covered = bytearray(len(sentence))
        for begin, end in taken:
            covered[begin:end] = b"\1" * (end - begin)
        chosen = []
        for match in found:
            if not any(covered[match.begin : match.end]):
                covered[match.begin : match.end] = b"\1" * (match.end - match.begin)
                chosen.append(match)
        return tuple(sorted(chosen, key=lambda match: match.begin))

    def _candidates(
        self, sentence: str, text: str, origins: Sequence[int] | None
    ) -> Iterator[TermMatch]:
        """All terms, those included that overlap."""
        for start, at, term in self._places(text):
            begin, end = _of_sentence(start, at, origins)
            entry = _fitting(self._entries[term], sentence[begin:end])
            if entry is not None:
                yield TermMatch(begin, end, entry, _case(sentence, begin, end, entry))

    def _places(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where a folded text has a term, and which."""
        for start, sign in enumerate(text):
            if sign not in self._first or not _parts(text, start):
                continue
            left = len(text) - start
            for size in range(1, min(_PREFIX, left) + 1):
                for length in self._lengths.get(text[start : start + size], ()):
                    if length > left:
                        break
                    term = text[start : start + length]
                    if self._entries.get(term) is not None and _parts(text, start + length):
                        yield start, start + length, term


def folded(text: str, *, keep_case: bool = False) -> tuple[str, list[int] | None]:
    """`text` in the form in which terms are compared.

    Returns:
        That form, and where in `text` each character of it is from, with the end of `text` behind
        the last; None: where it is in `text`.
    """
    if text.isascii() and "  " not in text and text.isprintable():
        return text if keep_case else text.lower(), None
    signs: list[str] = []
    origins: list[int] = []
    for place, sign in enumerate(text):
        if sign in _INVISIBLE:
            continue
        if sign.isspace():
            if signs[-1:] == [" "]:
                continue
            form = " "
        else:
            form = _SAME.get(sign) or unicodedata.normalize("NFD", sign)
            form = form if keep_case else unicodedata.normalize("NFD", form.casefold())
        signs += form
        origins += [place] * len(form)
    return "".join(signs), [*origins, len(text)]


def cased(form: str, case: LetterCase, *, first: bool) -> str:
    """A form as its place asks for; `first`: where a sentence begins."""
    if case.capitals:
        return form.upper()
    if (case.capitalized or first) and form[:1].islower():
        return form[:1].title() + form[1:]
    return form


def _of_sentence(start: int, end: int, origins: Sequence[int] | None) -> Span:
    if origins is None:
        return start, end
    first, last = origins[start], origins[end - 1]
    # With what is left out of the folded text behind the last character.
    behind = bisect_left(origins, last + 1)
    return first, origins[behind] if behind < len(origins) - 1 else origins[-1]


def _fitting(entries: Sequence[GlossaryEntry], written: str) -> GlossaryEntry | None:
    """The entry that `written` is of, case regarded where an entry asks for it."""
    other = None
    exact = None
    for entry in entries:
        if not entry.case_sensitive:
            other = other or entry
            continue
        exact = exact or folded(written, keep_case=True)[0]
        if exact == folded(entry.source, keep_case=True)[0]:
            return entry
    return other


def _case(sentence: str, begin: int, end: int, entry: GlossaryEntry) -> LetterCase:
    written = sentence[begin:end]
    if entry.case_sensitive:
        return LetterCase()
    letters = sum(map(str.isalpha, written))
    if letters > 1 and written.isupper() and not entry.source.isupper():
        return LetterCase(capitals=True)
    begins = any(map(str.isalnum, sentence[:begin]))
    capital = written[:1].isupper() and not entry.source[:1].isupper()
    return LetterCase(capitalized=capital and begins)


def _parts(text: str, place: int) -> bool:
    """Whether a word may end before `place`, and another one begin there."""
    if place == 0 or place == len(text):
        return True
    before, behind = text[place - 1], text[place]
    if unicodedata.category(behind)[0] == "M":
        return False
    if before.isascii() and behind.isascii():
        return not (before.isalnum() and behind.isalnum())
    if WITHOUT_SPACES.match(before) or WITHOUT_SPACES.match(behind):
        return True
    return not (_in_word(before) and _in_word(behind))


def _in_word(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign)[0] == "M"
