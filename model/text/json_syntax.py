"""JSON within a text: all but the strings that are values stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from model.text.words import Span

__all__ = ["json_syntax"]

_LINE = re.compile(r"^[^\S\n]*([\[{].*[\]}]),?[^\S\n]*$", re.MULTILINE)
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*:)?')


def json_syntax(text: str) -> Iterator[Span]:
    """Where a text, or a line of it, is JSON with strings: brackets, names, numbers and the like.

    It takes linear time.
    """
    if '"' not in text or ("]" not in text and "}" not in text):
        return
    inner = text.strip()
    if "\n" in inner and _is_json(inner):
        begin = text.index(inner[0])
        yield from _syntax(text, begin, begin + len(inner))
        return
    for line in _LINE.finditer(text):
        if _is_json(line[1]):
            yield from _syntax(text, *line.span(1))


def _is_json(text: str) -> bool:
    if text[:1] + text[-1:] not in ("[]", "{}") or '"' not in text:
        return False
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _syntax(text: str, begin: int, end: int) -> Iterator[Span]:
    """What of JSON is not within a string that is a value."""
    for string in _STRING.finditer(text, begin, end):
        if string[2] is None and string[1]:
            yield begin, string.start(1)
            begin = string.end(1)
    yield begin, end
