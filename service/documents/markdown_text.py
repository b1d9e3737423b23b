"""Markdown (.md): read by the blocks that the model's own reader finds, some at a time.

A part of a document begins in the first column behind a blank line, so that it reads alone as it
does there. What links refer to is defined once for all: each part that may need it gets it, and it
is taken away again, as it comes back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.text.markup.documents import read_document
from model.text_options import TextFormat
from service.documents.document import Document, DocumentOptions, Unit
from service.documents.edits import Edit, text_document
from service.documents.encoding import decoded
from service.documents.strings import has_words

__all__ = ["read"]

_PART = 1500
"""Characters from which on a part ends where one can."""
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\]\n]+\]:[ \t]*\S+[^\n]*$", re.MULTILINE)
_MOST_DEFINITIONS = 100
"""Definitions that are given with a part; a document with more of them is read as a whole."""
_REFERENCE = re.compile(r"\](?!\()")
_LAST_BREAK = re.compile(r"(?:\n|\r\n?)(?:\n|\r\n?)(?P<marker>\S[^\r\n]*)?\Z")


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    source = decoded(data)
    options.limits.check("max_characters", "the characters of a document", len(source.text))
    return text_document(source.text, list(_edits(source.text)), source.encoded)


def _edits(text: str) -> Iterator[Edit]:
    definitions = [found[0].strip() for found in _DEFINITION.finditer(text)]
    is_whole = len(definitions) > _MOST_DEFINITIONS
    begin = 0
    for place in [*([] if is_whole else _places(text)), len(text)]:
        if place - begin > _PART or place == len(text):
            yield from _edit(text, begin, place, [] if is_whole else definitions)
            begin = place


def _places(text: str) -> Iterator[int]:
    """Where a part may end."""
    at = 0
    parts = read_document(text, TextFormat.MARKDOWN).parts
    for part in parts[:-1]:
        if isinstance(part, str):
            # Only what begins the next block may follow: before that may be code.
            if found := _LAST_BREAK.search(part):
                yield at + (len(part) if found["marker"] is None else found.start("marker"))
            at += len(part)
        else:
            at += len(part.source)


def _edit(text: str, begin: int, end: int, definitions: list[str]) -> Iterator[Edit]:
    part = text[begin:end]
    if not has_words(part):
        return
    own = {found[0].strip() for found in _DEFINITION.finditer(part)}
    more = [each for each in definitions if each not in own] if _REFERENCE.search(part) else []
    suffix = "\n\n" + "\n".join(more) if more else ""

    def spelled(translation: str) -> str:
        return translation.removesuffix(suffix)

    yield Edit(begin, end, Unit(part + suffix, TextFormat.MARKDOWN), spelled)
