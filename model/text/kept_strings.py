"""Strings of texts that whoever asks wants kept: while a text is translated, one character each.

The characters are for private use: no vocabulary has them, so they are kept as any other sign that
a model cannot write, and no rule of sentences, addresses or numbers looks into what they stand for.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from model.text.word_links import WordLink
from model.text.words import Span

__all__ = ["KeptStrings", "kept_spans"]

_FIRST = 0xF0000
_LAST = 0xFFFFD


class KeptStrings(NamedTuple):
    """A text with a character for each string that is kept."""

    text: str
    strings: dict[int, str]
    """What each of the characters stands for."""

    @classmethod
    def of(cls, text: str, spans: Sequence[Span]) -> KeptStrings:
        """`text` with a character for each of `spans`, which are in order and apart; those beyond
        the 65,534 characters that there are stay as they are."""
        if not spans:
            return cls(text, {})
        taken = set(text)
        free = (code for code in range(_FIRST, _LAST + 1) if chr(code) not in taken)
        codes: dict[str, str] = {}
        parts: list[str] = []
        at = 0
        for begin, end in spans:
            string = text[begin:end]
            if string not in codes and (code := next(free, None)) is not None:
                codes[string] = chr(code)
            parts += (text[at:begin], codes.get(string, string))
            at = end
        parts.append(text[at:])
        return cls("".join(parts), {ord(sign): string for string, sign in codes.items()})

    def shown(self, text: str) -> str:
        """A text with the strings for their characters."""
        return text.translate(self.strings)

    def shown_links(self, links: Iterable[WordLink], translation: str) -> tuple[WordLink, ...]:
        """Links of the text with its `translation`, which still has the characters, as those of
        what both say."""
        source, target = _Places(self.text, self.strings), _Places(translation, self.strings)
        return tuple(
            WordLink(source.moved(link.source), target.moved(link.target)) for link in links
        )


class _Places:
    """Where spans of a text are when its characters have become strings."""

    def __init__(self, text: str, strings: dict[int, str]) -> None:
        found = [
            (place, len(strings[ord(sign)]) - 1)
            for place, sign in enumerate(text)
            if ord(sign) in strings
        ]
        self._places = [place for place, _ in found]
        self._longer = [0, *accumulate(length for _, length in found)]

    def moved(self, span: Span) -> Span:
        begin, end = span
        return (
            begin + self._longer[bisect_right(self._places, begin - 1)],
            end + self._longer[bisect_right(self._places, end - 1)],
        )


def kept_spans(text: str, strings: tuple[str, ...], spans: Iterable[Span]) -> list[Span]:
    """Where a text has strings that are kept, and other spans of it.

    Args:
        text: to look in.
        strings: each is kept wherever it stands, but not within a word.
        spans: in order, apart from each other; they go before strings.
    """
    found = list(spans)
    if not strings:
        return found
    pattern = _pattern(strings)
    kept: list[Span] = []
    at = 0
    for begin, end in [*found, (len(text), len(text))]:
        kept += (match.span() for match in pattern.finditer(text, at, begin))
        if begin < end:
            kept.append((begin, end))
        at = end
    return kept


@lru_cache(maxsize=64)
def _pattern(strings: tuple[str, ...]) -> re.Pattern[str]:
    """Any of some strings, the longest first."""
    longest_first = sorted(strings, key=len, reverse=True)
    return re.compile("|".join(map(_whole, longest_first)))


def _whole(string: str) -> str:
    """A string that is no part of a word; its first character first, which `re` looks for fast."""
    first = re.escape(string[0])
    before = rf"(?<!\w{first})" if _is_of_word(string[0]) else ""
    behind = r"(?!\w)" if _is_of_word(string[-1]) else ""
    return f"{first}{before}{re.escape(string[1:])}{behind}"


def _is_of_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"
