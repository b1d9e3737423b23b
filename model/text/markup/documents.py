"""Documents of each markup, read."""

from __future__ import annotations

from model.text.markup.block import Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html
from model.text.markup.markdown_reader import read_markdown
from model.text.markup.xml_reader import read_xml

__all__ = ["html_document", "markdown_document", "xml_document"]


def html_document(source: str) -> Document:
    """An HTML document, or a part of one. Time is linear in its length."""
    return cut(source, read_html(source), syntax="html")


def xml_document(source: str) -> Document:
    """An XML document, or a part of one. Time is linear in its length.

    Raises:
        InvalidRequestError: it is not well-formed.
    """
    return cut(source, read_xml(source), syntax="xml")


def markdown_document(source: str) -> Document:
    """A Markdown document: CommonMark with tables, strikethrough, task lists and front matter."""
    return cut(source, read_markdown(source), syntax="markdown")
