"""Amounts of money that markup parts from their words, or from one another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from model.text.markup.block import Block, Inline
from model.text.numbers.conventions import CURRENCIES

__all__ = ["parts_amounts"]

_NEAR = 16
_SIGNS = "".join(sorted(CURRENCIES))
_SEAM = "\0"
_PARTED = re.compile(
    rf"(?:[\d%\u2030{_SIGNS}]|\d(?:k|[mbt]n?)) ?(?:{_SEAM} ?[-\u2013]|[-\u2013] ?{_SEAM}) ?"
    rf"[A-Z]{{0,3}}[\d{_SIGNS}]"
    rf"|\d ?{_SEAM} ?(?:million|billion|trillion|milliarde|mio|mrd|bio|[mbt]n?\b)"
    rf"|(?:million(?:en)?|milliarden?|billion(?:en)?|mio\.?|mrd\.?) ?{_SEAM} ?[{_SIGNS}]",
    re.IGNORECASE,
)


def parts_amounts(block: Block) -> bool:
    """Whether an inline element of a block begins or ends within what would be read as one amount,
    or as the range from one to another: a translation of that is in one of them alone."""
    text = block.text
    if CURRENCIES.isdisjoint(text) and "%" not in text:
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
