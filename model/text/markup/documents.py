"""Documents of each markup, read."""

from __future__ import annotations

from model.text.markup.attributes import html_attributes
from model.text.markup.block import Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html
from model.text.markup.markdown_reader import read_markdown
from model.text.markup.xml_reader import read_xml
from model.text_options import TextFormat

__all__ = ["read_document"]


def read_document(source: str, syntax: TextFormat, *, attributes: bool = False) -> Document:
    """A document, or a part of one. Time is linear in its length.

    Markdown is CommonMark with tables, strikethrough, task lists and front matter.

    Args:
        syntax: what it is written in; not plain text.
        attributes: whether those of HTML that people read are translated.

    Raises:
        InvalidRequestError: it is XML and not well-formed.
    """
    if syntax is TextFormat.XML:
        return cut(source, read_xml(source), syntax=syntax)
    if syntax is TextFormat.MARKDOWN:
        return cut(source, read_markdown(source), syntax=syntax)
    tokens = read_html(source)
    found = html_attributes(source, tokens) if attributes else ()
    return cut(source, tokens, syntax=syntax, attributes=tuple(found))
