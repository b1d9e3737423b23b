"""English ordinals in digits: 1st, 2nd, 3rd, 4th, 11th."""

from __future__ import annotations

import re

__all__ = ["with_endings"]

_ORDINAL = re.compile(r"(?<=[0-9])(?:st|nd|rd|th|ST|ND|RD|TH)(?!\w)")
_ENDINGS = {"1": "st", "2": "nd", "3": "rd"}


def with_endings(text: str) -> str:
    """A text whose ordinals end as their numbers do, and of the same length: models put th behind
    any number that they are given."""
    return _ORDINAL.sub(_ending, text)


def _ending(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 2) : match.start()]
    ending = "th" if before[:-1] == "1" else _ENDINGS.get(before[-1], "th")
    return ending if match[0].islower() else ending.upper()
