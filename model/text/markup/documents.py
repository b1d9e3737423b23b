"""Documents of each markup, read."""

from __future__ import annotations

from collections.abc import Collection

from model.text.markup.attributes import attributes_of
from model.text.markup.block import Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html
from model.text.markup.markdown_reader import read_markdown
from model.text.markup.xml_reader import read_xml
from model.text_options import DETECTED_STRUCTURE, TextFormat, XmlStructure

__all__ = ["read_document"]


def read_document(
    source: str,
    syntax: TextFormat,
    *,
    attributes: bool = False,
    ignored: Collection[str] = (),
    structure: XmlStructure = DETECTED_STRUCTURE,
) -> Document:
    """A document, or a part of one. Time is linear in its length.

    Markdown is CommonMark with tables, strikethrough, task lists and front matter.

    Args:
        syntax: what it is written in; not plain text.
        attributes: whether those that people read are translated, and texts of Markdown that stand
            in no block.
        ignored: names of elements of HTML and XML that are not translated.
        structure: what parts the texts of XML.

    Raises:
        InvalidRequestError: it is XML and not well-formed.
    """
    names = frozenset(ignored)
    if syntax is TextFormat.HTML:
        tokens = read_html(source, names)
    elif syntax is TextFormat.XML:
        tokens = read_xml(source, names, structure)
    else:
        tokens = read_markdown(source)
    found = attributes_of(source, tokens, syntax, names) if attributes else ()
    return cut(source, tokens, syntax=syntax, attributes=tuple(found))
