"""Values of attributes that people read, such as `alt`, and documents with their translations."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from turbohtml import Token as HtmlToken
from turbohtml import TokenType, tokenize

from model.text.markup.block import Attribute, Block
from model.text.markup.blocks import cut
from model.text.markup.html_reader import read_html
from model.text.markup.rendering import Translated, render_block
from model.text.markup.tokens import Kind, Token

__all__ = ["html_attributes", "with_attributes"]


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_READ_BY_PEOPLE = _names(
    """
    abbr alt aria-braillelabel aria-description aria-label aria-placeholder aria-roledescription
    aria-valuetext label placeholder summary title
    """
)
_BUTTONS = _names("button reset submit")
_DESCRIPTIONS = _names(
    """
    description og:description og:image:alt og:title twitter:description twitter:image:alt
    twitter:title
    """
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_QUOTES = {'"': "&quot;", "'": "&#39;"}


def html_attributes(source: str, tokens: Sequence[Token]) -> Iterator[Attribute]:
    """The values in the tags of an HTML document, but not in those of what is not translated."""
    for token in tokens:
        if token.kind not in (Kind.OPEN, Kind.POINT, Kind.BOUNDARY):
            continue
        spelled = source[token.begin : token.end]
        if "=" in spelled and spelled[1:2].isalpha():
            yield from _of_tag(token.begin, spelled)


def _of_tag(begin: int, spelled: str) -> Iterator[Attribute]:
    tag = next(iter(tokenize(spelled, capture_source=True)), None)
    if tag is None or tag.type is not TokenType.START_TAG or tag.source != spelled:
        return  # more than a tag: it stays as it is
    seen: set[str] = set()
    for found in _ATTRIBUTE.finditer(spelled):
        name = found[1].lower()
        quote = found[2][0] if found[2][0] in _QUOTES else ""
        value = found[2][1:-1] if quote else found[2]
        # The tokenizer says what the value is: here it is only looked up where it stands.
        if name in seen or html.unescape(value) != tag.attr(name) or not _is_read(name, tag):
            continue
        seen.add(name)
        values = read_html(value)
        if all(each.kind in (Kind.TEXT, Kind.REFERENCE) for each in values):
            for part in cut(value, values, syntax="html").parts:
                if isinstance(part, Block):
                    yield Attribute(begin + found.start(2), begin + found.end(2), part, quote)


def _is_read(name: str, tag: HtmlToken) -> bool:
    if name == "content":
        told = tag.attr("name") or tag.attr("property") or tag.attr("itemprop") or ""
        return tag.tag == "meta" and told.lower() in _DESCRIPTIONS
    if name == "value":
        return tag.tag == "input" and (tag.attr("type") or "").lower() in _BUTTONS
    return name in _READ_BY_PEOPLE


def with_attributes(
    source: str, attributes: Sequence[Attribute], translations: Sequence[str]
) -> str:
    """The document with the translations of its attributes, one for each."""
    parts: list[str] = []
    at = 0
    for attribute, text in zip(attributes, translations, strict=True):
        written = render_block(attribute.block, Translated(text)).text
        if attribute.block.text != text:
            quote = attribute.quote or '"'
            written = written.replace(quote, _QUOTES[quote])
            written = quote + written + attribute.block.behind + quote
            parts += (source[at : attribute.begin], written)
            at = attribute.end
    return "".join([*parts, source[at:]])
