"""Amounts of money that markup parts from their words, or from one another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from model.text.markup.block import Block, Inline
from model.text.numbers.conventions import CODES, CURRENCIES

__all__ = ["parts_amounts"]

_NEAR = 16
_SIGNS = "".join(sorted(CURRENCIES))
_SEAM = "\0"
_CODES_OR_SIGNS = rf"(?:{'|'.join(CODES)}|[A-Z]{{0,3}}[{_SIGNS}])"
_WORD = "(?:million(?:en)?|milliarden?|billion(?:en)?|trillion|mio\\.?|mrd\\.?|bio\\.?|[mbt]n?|k)"
_PARTED = re.compile(
    rf"(?:[\d%\u2030]|\d ?{_WORD}|{_CODES_OR_SIGNS}) ?(?:{_SEAM} ?[-\u2013]|[-\u2013] ?{_SEAM}) ?"
    rf"(?:{_CODES_OR_SIGNS} ?)?\d"
    rf"|\d ?{_SEAM} ?(?:{_WORD}(?!\w)|{_CODES_OR_SIGNS})"
    rf"|(?:{_WORD}|{_CODES_OR_SIGNS}) ?{_SEAM} ?(?:{_CODES_OR_SIGNS}|\d)",
    re.IGNORECASE,
)
_HINT = re.compile(rf"[%\u2030{_SIGNS}]|{'|'.join(CODES)}")


def parts_amounts(block: Block) -> bool:
    """Whether an inline element of a block begins or ends within what could be read as one amount,
    or as the range from one to another: a translation of that is in one of them alone."""
    text = block.text
    if not block.inlines or _HINT.search(text) is None:
        return False
    return any(
        _PARTED.search(f"{text[max(0, cut - _NEAR) : cut]}{_SEAM}{text[cut : cut + _NEAR]}")
        for cut in _cuts(block.inlines)
    )


def _cuts(inlines: Iterable[Inline]) -> Iterator[int]:
    left = list(inlines)
    while left:
        inline = left.pop()
        yield from (inline.begin, inline.end)
        left += inline.children
