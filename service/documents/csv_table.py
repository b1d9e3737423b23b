"""Tables of text (.csv, .tsv): cells of some columns; quotation marks and line ends stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from service.documents.document import Document, DocumentOptions
from service.documents.edits import Edit, text_document
from service.documents.encoding import decoded
from service.documents.errors import DocumentError
from service.documents.strings import has_words, trimmed, with_markup

__all__ = ["read"]

_DELIMITERS = ",;\t|"
_SAMPLE = 2**16
"""Characters that the delimiter is found by."""
_MOST_ROWS = 50


class _Cell(NamedTuple):
    row: int
    column: int
    begin: int
    end: int
    value: str
    is_quoted: bool


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    source = decoded(data)
    delimiter = _delimiter(source.text[:_SAMPLE])
    first = list(takewhile(lambda cell: not cell.row, _cells(source.text, delimiter)))
    columns = _columns(first, options)
    edits = (
        _edit(cell, delimiter)
        for cell in _cells(source.text, delimiter)
        if (cell.row or not options.header)
        and (columns is None or cell.column in columns)
        and has_words(cell.value)
    )
    return text_document(source.text, list(options.limits.bounded(edits)), source.encoded)


def _delimiter(sample: str) -> str:
    """That with which most rows have as many cells as the first, of several."""
    best, most = ",", 0
    for delimiter in _DELIMITERS:
        widths: dict[int, int] = {}
        for cell in _cells(sample, delimiter):
            if cell.row >= _MOST_ROWS:
                break
            widths[cell.row] = cell.column + 1
        first = widths.get(0, 1)
        same = sum(width == first for width in widths.values())
        if first > 1 and same * first > most:
            best, most = delimiter, same * first
    return best


def _cells(text: str, delimiter: str) -> Iterator[_Cell]:
    ends = re.compile(f"[{re.escape(delimiter)}\r\n]")
    row = column = at = 0
    while at < len(text):
        begin = at
        is_quoted = text[at] == '"'
        if is_quoted:
            at += 1
            while (end := text.find('"', at)) >= 0 and text[end + 1 : end + 2] == '"':
                at = end + 2
            if end < 0:
                is_quoted, at = False, begin
            else:
                at = end + 1
                yield _Cell(row, column, begin, at, text[begin + 1 : end].replace('""', '"'), True)
        found = ends.search(text, at)
        at = found.start() if found else len(text)
        if not is_quoted:
            yield _Cell(row, column, begin, at, text[begin:at], False)
        if text[at : at + 1] == delimiter:
            column += 1
        else:
            row, column = row + 1, 0
            at += text[at : at + 2] == "\r\n"
        at += 1


def _columns(first: list[_Cell], options: DocumentOptions) -> set[int] | None:
    """The columns that are translated; None for all.

    Raises:
        DocumentError: there is none of that name or number.
    """
    if not options.columns:
        return None
    width = len(first)
    named = reversed(first if options.header else [])
    names = {cell.value.strip(): cell.column for cell in named}
    columns = set()
    for column in options.columns:
        if column in names:
            columns.add(names[column])
        elif column.isdecimal() and 1 <= int(column) <= width:
            columns.add(int(column) - 1)
        else:
            raise DocumentError(
                f"a column must be a name in the first line or a number from 1 to {width}, but is "
                f"{column[:50]!r}"
            )
    return columns


def _edit(cell: _Cell, delimiter: str) -> Edit:
    before, core, behind = trimmed(cell.value)

    def spelled(translation: str) -> str:
        value = before + translation + behind
        if cell.is_quoted or any(sign in value for sign in f'{delimiter}"\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value

    return Edit(cell.begin, cell.end, with_markup(core), spelled)
