"""English ordinals in digits: 1st, 2nd, 3rd, 4th, 11th."""

from __future__ import annotations

import re
from collections.abc import Sequence

from model.text.words import Span

__all__ = ["with_endings"]

_ORDINAL = re.compile(r"(?<![\w/.-])[0-9][0-9,]*(st|nd|rd|th|ST|ND|RD|TH)(?!\w)")
_ENDINGS = {"1": "st", "2": "nd", "3": "rd"}


def with_endings(text: str, written: Sequence[Span]) -> str:
    """A text whose ordinals end as their numbers do, and of the same length: models put th behind
    any number that they are given.

    Args:
        text: a translation.
        written: what of it the model has written itself; other endings stay as they are.
    """
    at = 0
    parts: list[str] = []
    for match in _ORDINAL.finditer(text):
        begin, end = match.span(1)
        if any(first <= begin and end <= last for first, last in written):
            parts += (text[at:begin], _ending(text[match.start() : begin], match[1]))
            at = end
    return "".join([*parts, text[at:]]) if parts else text


def _ending(number: str, written: str) -> str:
    digits = number.replace(",", "")
    ending = "th" if digits[-2:-1] == "1" else _ENDINGS.get(digits[-1], "th")
    return ending if written.islower() else ending.upper()
