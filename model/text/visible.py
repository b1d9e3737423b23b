"""A text as its reader sees it: without what has no width, its letters in one code point each.

Soft hyphens, marks of direction and the like, accents that follow their letters (as macOS writes
file names) and letters of another script that look the same are new tokens to a model, which then
guesses. They change how a text is read alone: what is kept of it stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from model.text.abbreviations import (
    contractions,
    expansions,
    may_expand,
    may_have_wars,
    may_lack_apostrophes,
    wars,
)

__all__ = ["INVISIBLE", "changes", "may_change", "origins", "visible"]

INVISIBLE = frozenset(
    "\xad\u034f\u061c\u180e\u200b\u200e\u200f\ufeff"
    + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x2070))))
)
"""Characters that no reader sees. Those that join or part letters, as in Persian, are none."""

_LATIN_LIKE_CYRILLIC = "ABESIJKMHOPCTYXaesijopcyxhdqw"
_CYRILLIC = (
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425"
    "\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445\u04bb\u0501\u051b\u051d"
)
_LATIN_LIKE_GREEK = "ABEZHIKMNOPTYXo"
_GREEK = (
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
)
"""Letters that are drawn as the Latin ones above."""
_TO_LATIN = str.maketrans(_CYRILLIC + _GREEK, _LATIN_LIKE_CYRILLIC + _LATIN_LIKE_GREEK)
_TO_CYRILLIC = str.maketrans(_LATIN_LIKE_CYRILLIC, _CYRILLIC)
_LATIN, _OTHER = "A-Za-z\u00c0-\u024f", "\u0370-\u03ff\u0400-\u052f"
_LETTERS = _LATIN + _OTHER
_SCRIPTS = (
    (_TO_LATIN, re.compile(f"[{_OTHER}]")),
    (_TO_CYRILLIC, re.compile(f"[{_LATIN}\u0370-\u03ff]")),
)
"""What puts a word into a script, and letters of others."""
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer part words with U+200B."""
_INVISIBLE = "".join(sorted(INVISIBLE))
_MARKS = "\u0300-\u034e\u0350-\u036f\u3099\u309a"
_CHANGED = re.compile(
    rf"(?P<invisible>(?<![{_SPACELESS}])[{_INVISIBLE}]+(?![{_SPACELESS}])"
    rf"|(?<=[{_LETTERS}])[\u200c\u200d]+(?=[{_LETTERS}]))"
    rf"|(?P<decomposed>[^\W\d_][{_MARKS}]+|[\u1100-\u11ff]{{2,}})"
    rf"|(?P<mixed>(?<![{_LETTERS}])(?:[{_LATIN}]+[{_OTHER}]|[{_OTHER}]+[{_LATIN}])[{_LETTERS}]*)"
)
_MAYBE = re.compile(rf"[{_INVISIBLE}{_MARKS}\u1100-\u11ff\u200c\u200d{_OTHER}]")
"""Without any of these there is no match of `_CHANGED`."""


_UNSPACED = re.compile(r"[,;!?](?<=[^\W\d_]{2}.)(?=[^\W\d_]{2})")
"""A mark that no space follows, between two words."""
_UNSPACED_MARKS = frozenset(",;!?")
_SHORT = 24
"""Characters in which abbreviations are found as soon as it is found out whether there are any."""
_SHORTEST_CHANGED = 3
"""ASCII characters of the shortest text that may be changed, abbreviations aside: `ive`."""


def visible(text: str, language: str = "") -> str:
    """`text` as it is seen, with the abbreviations of a language in full, its world wars by their
    ordinals, and with the apostrophes and spaces that were left out."""
    if not (found := _changed_words(text, language)):
        return _CHANGED.sub(_seen, text) if _may_be_unseen(text) else text
    parts: list[str] = []
    at = 0
    for begin, end, seen in _apart(found, text):
        parts += (text[at:begin], seen)
        at = end
    return "".join([*parts, text[at:]])


def changes(text: str, language: str = "") -> Sequence[tuple[int, int, str]]:
    """Where a text is read otherwise than it is written: begin, end, and as what; in order."""
    return _apart(_changed_words(text, language), text)


def _changed_words(text: str, language: str) -> list[tuple[int, int, str]]:
    """The changes of words, and of spaces between them."""
    found: list[tuple[int, int, str]] = []
    if len(text) < _SHORTEST_CHANGED and text.isascii() and "." not in text:
        return found
    if language and "." in text and (len(text) <= _SHORT or may_expand(text, language)):
        found += expansions(text, language)
    if language == "en":
        found += contractions(text)
        if may_have_wars(text):
            found += wars(text)
    if not _UNSPACED_MARKS.isdisjoint(text):
        found += [(mark.end(), mark.end(), " ") for mark in _UNSPACED.finditer(text)]
    return found


def _apart(words: list[tuple[int, int, str]], text: str) -> Sequence[tuple[int, int, str]]:
    """The changes of words of a text, with those of its characters, of which none is in another."""
    found = words
    if _may_be_unseen(text):
        found = [*words, *_unseen(text)]
    if len(found) < 2:
        return found
    found.sort()
    apart = found[:1]
    for change in found[1:]:
        if change[0] >= apart[-1][1]:
            apart.append(change)
    return apart


def may_change(lines: str, language: str) -> bool:
    """Whether in any of some lines there may be `changes`."""
    return (
        ("." in lines and may_expand(lines, language))
        or (language == "en" and (may_lack_apostrophes(lines) or may_have_wars(lines)))
        or (not _UNSPACED_MARKS.isdisjoint(lines) and _UNSPACED.search(lines) is not None)
        or _may_be_unseen(lines)
    )


def _may_be_unseen(text: str) -> bool:
    """Whether there may be characters that are read otherwise than they are written."""
    return not text.isascii() and _MAYBE.search(text) is not None


def _unseen(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _CHANGED.finditer(text):
        seen = _seen(found)
        if seen != found[0]:
            yield found.start(), found.end(), seen


def _seen(found: re.Match[str]) -> str:
    """What a match of `_CHANGED` is read as."""
    kind = found.lastgroup
    if kind == "decomposed":
        return unicodedata.normalize("NFC", found[0])
    return "" if kind == "invisible" else _in_one_script(found[0])


def origins(text: str, language: str = "") -> list[tuple[int, int]]:
    """Where in `text` each character of `visible(text, language)` comes from."""
    spans: list[tuple[int, int]] = []
    at = 0
    for begin, end, seen in changes(text, language):
        spans += [(place, place + 1) for place in range(at, begin)]
        if len(seen) == end - begin:
            spans += [(place, place + 1) for place in range(begin, end)]
        else:
            spans += [(begin, end)] * len(seen)
        at = end
    return spans + [(place, place + 1) for place in range(at, len(text))]


def _in_one_script(word: str) -> str:
    """A word of two scripts in one of them, if all letters of the other look like its own."""
    for table, foreign in _SCRIPTS:
        written = word.translate(table)
        if not foreign.search(written):
            return written
    return word
