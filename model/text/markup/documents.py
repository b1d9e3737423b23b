"""Documents of each markup, read."""

from __future__ import annotations

from model.text.markup.block import Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html

__all__ = ["html_document"]


def html_document(source: str) -> Document:
    """An HTML document, or a part of one. Time is linear in its length."""
    return cut(source, read_html(source), syntax="html")
