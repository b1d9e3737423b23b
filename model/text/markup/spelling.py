"""How the characters of a translation are written in the syntax of its document."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from string import ascii_letters

__all__ = ["spelled"]

_LONGEST_REFERENCE = 36
"""Characters that a name of the HTML standard has at most, and some."""
_BEHIND_A_TAGS_BEGINNING = frozenset("/!?" + ascii_letters)
_NUMBER = re.compile("#(?:[0-9]|[xX][0-9A-Fa-f])")
_OF_MARKDOWN = frozenset("\\`*_[]<~|")
"""Signs that begin or end inline elements of Markdown, or cells."""
_NAMES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def spelled(
    text: str, spellings: Mapping[str, Sequence[str]], *, syntax: str, cuts: Set[int]
) -> list[str]:
    """Each character of `text` as it is to be written.

    A character that the source wrote as a reference is written so again, the first one as the
    source's first, and so on. One that would be taken for markup gets a reference in any case; no
    other one does.

    Args:
        spellings: see `Block.spellings`.
        syntax: `html`, `xml` or `markdown`.
        cuts: the places in `text` before which a tag comes.
    """
    counts: Counter[str] = Counter()
    written: list[str] = []
    for place, character in enumerate(text):
        form = character
        if ways := spellings.get(character):
            form = ways[min(counts[character], len(ways) - 1)]
            counts[character] += 1
        following = "" if place + 1 in cuts else text[place + 1 : place + _LONGEST_REFERENCE]
        if form == character:
            before = text[max(place - 2, 0) : place]
            if syntax == "markdown" and character in _OF_MARKDOWN and not ways:
                form = "\\" + character
            elif character in _NAMES and _is_markup(character, before, following, syntax):
                form = _NAMES[character]
        elif form.startswith("&") and not form.endswith(";"):
            reads = html.unescape(form + following[:1] + ";")
            form += "" if reads == character + following[:1] + ";" else ";"
        written.append(form)
    return written


def _is_markup(character: str, before: str, following: str, syntax: str) -> bool:
    """Whether a character would be read as something else than itself."""
    if character == ">":
        return syntax == "xml" and before == "]]"
    if syntax == "xml":
        return True
    if character == "<":
        return following[:1] in {"/", "!", "?"} or (
            following[:1].isascii() and following[:1].isalpha()
        )
    if following[:1] == "#":
        return _NUMBER.match(following) is not None
    return not html.unescape("&" + following).startswith("&" + following[:1])
