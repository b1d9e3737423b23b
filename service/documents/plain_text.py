"""Plain text (.txt): paragraphs, hard-wrapped or not, in any encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.text_options import TextFormat
from service.documents.document import Document, DocumentOptions, Unit
from service.documents.edits import Edit, text_document
from service.documents.encoding import decoded
from service.documents.strings import has_words

__all__ = ["read"]

_PART = 1500
"""Characters from which on a part of the text ends with its paragraph."""
_LONGEST_PART = 8000
"""Characters from which on it ends with its line."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    source = decoded(data)
    options.limits.check("max_characters", "the characters of a document", len(source.text))
    return text_document(source.text, list(_edits(source.text)), source.encoded)


def _edits(text: str) -> Iterator[Edit]:
    begin = end = 0
    for line in _LINE.finditer(text):
        end = line.end()
        size = end - begin
        if size > _LONGEST_PART or (size > _PART and not line[0].strip()):
            yield from _edit(text, begin, end)
            begin = end
    yield from _edit(text, begin, end)


def _edit(text: str, begin: int, end: int) -> Iterator[Edit]:
    part = text[begin:end]
    if has_words(part):
        begin += len(part) - len(part.lstrip("\r\n"))
        end -= len(part) - len(part.rstrip())
        yield Edit(begin, end, Unit(text[begin:end], TextFormat.WRAPPED))
