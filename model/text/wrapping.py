"""Text with hard-wrapped paragraphs: their lines joined, and translations wrapped again.

A line goes on in the next one if that

- has the same quotation marks (`>`), and begins below the line's text or its marker
- does not begin a list item, a heading or a table
- begins with a word for which there was no room: the line with it is longer than the paragraph's
  longest line, or nearly so; and that has 40 characters or more.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from model.text.words import Span

__all__ = ["Unwrapped", "unwrapped"]

_LEAST_WIDTH = 40
_SLACK = 8
"""The part of the width by which a line may be shorter than there was room for: not everybody
wraps with a program."""
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|$)")
_BEGIN = re.compile(
    r"(?P<quoted>[ \t]*(?:>[ \t]?)*)(?P<indent>[ \t]*)"
    r"(?P<marker>(?:[-*+\u2022\u2013]|\(?\d{1,3}[.)]|\(?[A-Za-z]\)|\#{1,6}|\|)[ \t]+|\|)?"
)


class _Line(NamedTuple):
    begin: int
    text: str
    end: str
    """The line break behind it."""
    quoted: str
    column: int
    """Where what is said begins."""
    indent: int
    """Where it begins, its marker included."""
    is_item: bool

    @property
    def said(self) -> str:
        """Without marks and markers."""
        return self.text[self.column :]


class _Paragraph(NamedTuple):
    """Lines that are one in the joined text."""

    width: int
    line_break: str
    """With all that stands before what a further line says."""


class Unwrapped(NamedTuple):
    """A text whose paragraphs are one line each."""

    text: str
    origins: list[int]
    """Where in the text as it was each character was."""
    paragraphs: list[_Paragraph | None]
    """What is known of each line of `text`; None: it was one line."""

    def span(self, begin: int, end: int) -> Span:
        """Where a part of the text as it was is in `text`."""
        return bisect_left(self.origins, begin), bisect_left(self.origins, end)

    def origin(self, begin: int, end: int) -> Span:
        """Where a part of `text` was, which is not empty."""
        return self.origins[begin], self.origins[end - 1] + 1

    def wrapped(self, translation: str) -> tuple[str, list[int]]:
        """A translation of `text` with its paragraphs wrapped, and where each of its characters
        is then, with the end."""
        parts: list[str] = []
        places: list[int] = []
        length = 0
        lines = [found for found in _LINE.finditer(translation) if found[0]]
        for number, found in enumerate(lines):
            paragraph = self.paragraphs[number] if number < len(self.paragraphs) else None
            line = found[1]
            breaks = set() if paragraph is None else _breaks(line, paragraph)
            for place, sign in enumerate(line):
                places.append(length)
                shown = paragraph.line_break if paragraph and place in breaks else sign
                parts.append(shown)
                length += len(shown)
            parts.append(found[2])
            places += range(length, length + len(found[2]))
            length += len(found[2])
        return "".join(parts), [*places, length]


def unwrapped(text: str) -> Unwrapped:
    """`text` with each hard-wrapped paragraph in one line."""
    lines = [_line(found) for found in _LINE.finditer(text) if found[0]]
    parts: list[str] = []
    origins: list[int] = []
    paragraphs: list[_Paragraph | None] = []
    widths = _widths(lines)
    at = 0
    while at < len(lines):
        last = at
        width = widths[at]
        while last + 1 < len(lines) and _goes_on(lines[at], lines[last], lines[last + 1], width):
            last += 1
        for line in lines[at : last + 1]:
            said = line.text if line is lines[at] else line.said
            begin = line.begin + len(line.text) - len(said)
            kept = said if line is lines[last] else said.rstrip()
            parts.append(kept)
            origins += range(begin, begin + len(kept))
            if line is not lines[last]:
                parts.append(" ")
                origins.append(begin + len(kept))
        end = lines[last]
        parts.append(end.end)
        origins += range(end.begin + len(end.text), end.begin + len(end.text) + len(end.end))
        further = lines[min(at + 1, last)]
        line_break = lines[at].end + further.text[: further.column]
        paragraphs.append(_Paragraph(width, line_break) if last > at else None)
        at = last + 1
    return Unwrapped("".join(parts), origins, paragraphs)


def _line(found: re.Match[str]) -> _Line:
    begin = _BEGIN.match(found[1])
    assert begin is not None  # all of it may be empty
    return _Line(
        found.start(),
        found[1],
        found[2],
        begin["quoted"].strip().replace(" ", ""),
        begin.end(),
        begin.end("indent"),
        begin["marker"] is not None,
    )


def _widths(lines: Sequence[_Line]) -> list[int]:
    """For each line the longest one of those around it, up to blank ones."""
    widths: list[int] = []
    begin = 0
    for end in range(len(lines) + 1):
        if end == len(lines) or not lines[end].said.strip():
            longest = max((len(line.text.rstrip()) for line in lines[begin:end]), default=0)
            widths += [longest] * (end + 1 - begin)
            begin = end + 1
    return widths


def _goes_on(first: _Line, line: _Line, following: _Line, width: int) -> bool:
    """Whether `following` is of the paragraph that `first` begins and `line` is of."""
    said, more = line.said.rstrip(), following.said.split(maxsplit=1)
    if not said or not more or following.is_item or "\t" in said + following.said:
        return False
    if following.quoted != first.quoted or line.text.endswith("  "):
        return False
    columns = (first.column, first.indent) if line is first else (line.column,)
    if line is not first or first.is_item:
        if following.column not in columns:
            return False
    elif following.column > first.column:  # a first line may be indented, others are not
        return False
    room = width - width // _SLACK
    return width >= _LEAST_WIDTH and len(line.text.rstrip()) + 1 + len(more[0]) > room


def _breaks(line: str, paragraph: _Paragraph) -> set[int]:
    """The spaces of a line at which it is broken, so that no part is wider than its paragraph."""
    breaks: set[int] = set()
    begin, space = 0, -1
    before = len(paragraph.line_break.lstrip("\r\n"))
    first = len(line) - len(line.lstrip())
    spaces = (found.start() for found in re.finditer(" ", line) if found.start() > first)
    for place in (*spaces, len(line)):
        if place - begin > paragraph.width and space >= 0:
            breaks.add(space)
            begin = space + 1 - before
        space = place
    return breaks
