"""What stands beside a number in words, for patterns."""

from __future__ import annotations

import re

__all__ = ["HYPHENS", "SPACE", "WITHIN_WORDS", "text_before"]

SPACE = r"[^\S\n]+"
WITHIN_WORDS = "\\w\xad\u0300-\u036f\u200b-\u200d\u2060"
"""Beside a number: it is only a part of a word."""
HYPHENS = "\u2010-\u2013\u2212"
"""That may stand for the common one."""
_MOST_BEFORE = 24
"""Characters before a number that say what it is a part of."""


def text_before(text: str, match: re.Match[str]) -> str:
    """What stands before a match, as far as it matters."""
    return text[max(0, match.start() - _MOST_BEFORE) : match.start()]
