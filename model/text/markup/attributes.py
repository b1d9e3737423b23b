"""Values of attributes that people read, such as `alt`, and documents with their translations."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from turbohtml import Token as HtmlToken
from turbohtml import TokenType, tokenize

from model.text.markup.block import Attribute, Block, Document
from model.text.markup.blocks import cut
from model.text.markup.html_reader import is_untranslated, read_html
from model.text.markup.link_texts import link_texts
from model.text.markup.rendering import Translated, render_block
from model.text.markup.spelling import spelled
from model.text.markup.tokens import Kind, Token
from model.text_options import TextFormat

__all__ = ["attributes_of", "with_attributes"]


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_READ_BY_PEOPLE = _names(
    """
    abbr alt aria-braillelabel aria-description aria-label aria-placeholder aria-roledescription
    aria-valuetext label placeholder summary title
    """
)
_READ_BY_PEOPLE_IN_XML = _READ_BY_PEOPLE | _names(
    "caption contentdescription hint navtitle subtitle tooltip tooltiptext"
)
_BUTTONS = _names("button reset submit")
_DESCRIPTIONS = _names(
    """
    description og:description og:image:alt og:title twitter:description twitter:image:alt
    twitter:title
    """
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_XML_TAG = re.compile(r"""<[^\s"'<>/=!?]+(?:\s+[^\s"'<>/=]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
_NAME_END = re.compile(r"[\s/>]")
_XML_REFERENCE = re.compile(r"&([^;]*);")
_XML_CHARACTERS = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_QUOTES = {'"': "&quot;", "'": "&#39;"}


def attributes_of(
    source: str,
    tokens: Sequence[Token],
    syntax: TextFormat,
    ignored: frozenset[str] = frozenset(),
) -> Iterator[Attribute]:
    """The values in the tags of a document, in order, but not in those of what is not translated.

    `ignored` are names of elements that are not. Of Markdown these are also the descriptions of
    images, and the titles of links and images.
    """
    for token in tokens:
        if token.kind not in (Kind.OPEN, Kind.CLOSE, Kind.POINT, Kind.BOUNDARY):
            continue
        written = source[token.begin : token.end]
        if syntax is TextFormat.XML:
            yield from _of_xml_tag(token.begin, written, ignored)
        elif "=" in written and written[:1] == "<" and written[1:2].isalpha():
            yield from _of_tag(token.begin, written, ignored)
        elif syntax is TextFormat.MARKDOWN:
            for begin, end, parts, marks in link_texts(token, written):
                value = written[begin + 1 : end - 1] if marks else written[begin:end]
                for block in _blocks(value, parts, syntax):
                    yield Attribute(token.begin + begin, token.begin + end, block, marks)


def _of_tag(begin: int, written: str, ignored: frozenset[str]) -> Iterator[Attribute]:
    tag = next(iter(tokenize(written, capture_source=True)), None)
    if tag is None or tag.type is not TokenType.START_TAG or tag.source != written:
        return  # more than a tag: it stays as it is
    if is_untranslated(tag, frozenset(map(str.lower, ignored))):
        return
    seen: set[str] = set()
    for found in _ATTRIBUTE.finditer(written):
        name = found[1].lower()
        quote = found[2][0] if found[2][0] in _QUOTES else ""
        value = found[2][1:-1] if quote else found[2]
        # The tokenizer says what the value is: here it is only looked up where it stands.
        if name in seen or html.unescape(value) != tag.attr(name) or not _is_read(name, tag):
            continue
        seen.add(name)
        values = read_html(value)
        if all(each.kind in (Kind.TEXT, Kind.REFERENCE) for each in values):
            for block in _blocks(value, values, TextFormat.HTML):
                yield Attribute(begin + found.start(2), begin + found.end(2), block, quote * 2)


def _is_read(name: str, tag: HtmlToken) -> bool:
    if name == "content":
        told = tag.attr("name") or tag.attr("property") or tag.attr("itemprop") or ""
        return tag.tag == "meta" and told.lower() in _DESCRIPTIONS
    if name == "value":
        return tag.tag == "input" and (tag.attr("type") or "").lower() in _BUTTONS
    return name in _READ_BY_PEOPLE


def _of_xml_tag(begin: int, written: str, ignored: frozenset[str]) -> Iterator[Attribute]:
    if not _XML_TAG.fullmatch(written) or _NAME_END.split(written[1:], maxsplit=1)[0] in ignored:
        return
    found = list(_ATTRIBUTE.finditer(written))
    if any(each[1] in ("translate", "its:translate") and each[2][1:-1] == "no" for each in found):
        return
    for each in found:
        value = each[2][1:-1]
        tokens = _xml_tokens(value)
        # Whatever a vocabulary calls its namespace.
        if each[1].rpartition(":")[2].lower() in _READ_BY_PEOPLE_IN_XML and tokens is not None:
            for block in _blocks(value, tokens, TextFormat.XML):
                yield Attribute(begin + each.start(2), begin + each.end(2), block, each[2][0] * 2)


def _xml_tokens(value: str) -> list[Token] | None:
    """The text of a value, if it has no reference to what another document defines."""
    tokens: list[Token] = []
    at = 0
    for found in _XML_REFERENCE.finditer(value):
        name = found[1]
        character = html.unescape(found[0]) if name[:1] == "#" else _XML_CHARACTERS.get(name, "")
        if len(character) != 1:
            return None
        tokens.append(Token(Kind.TEXT, at, found.start(), value[at : found.start()]))
        tokens.append(Token(Kind.REFERENCE, *found.span(), character))
        at = found.end()
    tokens.append(Token(Kind.TEXT, at, len(value), value[at:]))
    return [token for token in tokens if token.begin < token.end]


def _blocks(value: str, tokens: Sequence[Token], syntax: TextFormat) -> Iterable[Block]:
    return (part for part in cut(value, tokens, syntax=syntax).parts if isinstance(part, Block))


def with_attributes(source: str, document: Document, translations: Sequence[str]) -> str:
    """The document of `source` with the translations of its attributes, one for each."""
    parts: list[str] = []
    at = 0
    for attribute, text in zip(document.attributes, translations, strict=True):
        if attribute.block.text != text:
            parts += (source[at : attribute.begin], _written(attribute, text))
            at = attribute.end
    return "".join([*parts, source[at:]])


def _written(attribute: Attribute, text: str) -> str:
    """The value of an attribute, quotation marks included."""
    block, marks = attribute.block, attribute.marks
    if block.syntax == TextFormat.MARKDOWN:
        return _written_in_markdown(block, text, marks)
    marks = marks or '""'
    value = render_block(block, Translated(text)).text
    return marks[0] + value.replace(marks[0], _QUOTES[marks[0]]) + marks[1]


def _written_in_markdown(block: Block, text: str, marks: str) -> str:
    """A description or title, of which all signs that could be marks are escaped."""
    spellings = {
        sign: ways
        for sign, ways in block.spellings.items()
        if any(way != sign for way in ways) and sign not in marks
    }
    text += block.behind
    signs = spelled(text, spellings, syntax=block.syntax, cuts=frozenset())
    value = "".join("\\" + sign if sign in marks else sign for sign in signs)
    return marks[:1] + block.before + value + marks[1:]
