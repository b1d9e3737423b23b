"""HTML and XHTML (.html): read by the blocks that the model's own reader finds, some at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.text.markup.documents import read_document
from model.text_options import TextFormat
from service.documents.document import Document, DocumentOptions, Unit
from service.documents.edits import Edit, text_document
from service.documents.encoding import EncodedText, decoded
from service.documents.strings import has_words, language_code

__all__ = ["decoded_page", "html_edits", "read", "with_language"]

_PART = 1500
"""Characters from which on a part of the page ends where one can."""
_HEAD = 2048
"""Bytes in which a page says its encoding."""
_ENCODING = re.compile(
    rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w:.-]+)|<meta[^>]*?charset\s*=\s*["']?([\w:.-]+)""",
    re.IGNORECASE,
)
_XHTML = re.compile(r"\A\s*<\?xml|http://www\.w3\.org/1999/xhtml")
_CLOSED = re.compile(
    r"<(?:iframe|noembed|noframes|noscript|script|style|textarea|title|xmp)\b[^<>]*/>",
    re.IGNORECASE,
)
_ROOT = re.compile(r"<html\b[^<>]*>", re.IGNORECASE)
_LANGUAGE = re.compile(r"""(\slang\s*=\s*)(?:"[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_XML_LANGUAGE = re.compile(r"""(\sxml:lang\s*=\s*)(?:"[^"]*"|'[^']*')""", re.IGNORECASE)


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`. Attributes that people read are left to who translates."""
    page = decoded_page(data)
    options.limits.check("max_characters", "the characters of a page", len(page.text))
    return text_document(
        page.text,
        list(html_edits(page.text)),
        lambda text: page.encoded(with_language(text, options.target), "xmlcharrefreplace"),
    )


def decoded_page(data: bytes) -> EncodedText:
    """The text of a page, in the encoding that it declares.

    Raises:
        DamagedDocumentError: it is no text.
    """
    found = _ENCODING.search(data[:_HEAD])
    declared = (found[1] or found[2]).decode() if found else None
    return decoded(data, declared=declared)


def html_edits(text: str) -> Iterator[Edit]:
    """The parts of a page. Each begins with the tag of a block.

    In XHTML, elements such as `<title/>` are none of a part: HTML knows no end of them.
    """
    begin = 0
    for found in _CLOSED.finditer(text) if _XHTML.search(text[:_HEAD]) else ():
        yield from _edits(text, begin, found.start())
        begin = found.end()
    yield from _edits(text, begin, len(text))


def _edits(text: str, begin: int, end: int) -> Iterator[Edit]:
    at = begin
    for part in read_document(text[begin:end], TextFormat.HTML).parts:
        source = part if isinstance(part, str) else part.source
        is_tag = isinstance(part, str) and part[:1] == "<" and part[1:2].isalpha()
        if is_tag and at - begin > _PART:
            yield from _edit(text, begin, at)
            begin = at
        at += len(source)
    yield from _edit(text, begin, end)


def _edit(text: str, begin: int, end: int) -> Iterator[Edit]:
    part = text[begin:end]
    if has_words(part):
        yield Edit(begin, end, Unit(part, TextFormat.HTML))


def with_language(text: str, code: str | None) -> str:
    """A page that says the language of its translation, if it said one before."""
    root = _ROOT.search(text)
    if root is None or code is None:
        return text
    said = f'\\g<1>"{language_code(code)}"'
    tag = _LANGUAGE.sub(said, _XML_LANGUAGE.sub(said, root[0]))
    return text[: root.start()] + tag + text[root.end() :]
