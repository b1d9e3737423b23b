"""Fenced blocks of code, which stay as they are in any kind of text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.text.words import Span

__all__ = ["code_blocks"]

_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


def code_blocks(text: str) -> Iterator[Span]:
    """Where lines of code are between two fences (``` or ~~~), these included.

    A fence that is never closed begins none: nothing else of the text would be translated.
    """
    begin, opening = 0, ""
    for fence in _FENCE.finditer(text):
        signs, info = fence[1], fence[2].strip()
        if not opening:
            begin, opening = fence.start(), signs
        elif signs.startswith(opening) and not info:
            yield begin, fence.end()
            opening = ""
