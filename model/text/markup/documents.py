"""Documents of each markup, read."""

from __future__ import annotations

from model.text.markup.attributes import attributes_of
from model.text.markup.block import Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html
from model.text.markup.markdown_reader import read_markdown
from model.text.markup.xml_reader import read_xml
from model.text_options import TextFormat

__all__ = ["read_document"]

_READERS = {
    TextFormat.HTML: read_html,
    TextFormat.XML: read_xml,
    TextFormat.MARKDOWN: read_markdown,
}


def read_document(source: str, syntax: TextFormat, *, attributes: bool = False) -> Document:
    """A document, or a part of one. Time is linear in its length.

    Markdown is CommonMark with tables, strikethrough, task lists and front matter.

    Args:
        syntax: what it is written in; not plain text.
        attributes: whether those that people read are translated, and texts of Markdown that stand
            in no block.

    Raises:
        InvalidRequestError: it is XML and not well-formed.
    """
    tokens = _READERS[syntax](source)
    found = attributes_of(source, tokens, syntax) if attributes else ()
    return cut(source, tokens, syntax=syntax, attributes=tuple(found))
