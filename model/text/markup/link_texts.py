"""Texts of Markdown that stand in no block: descriptions of images, and titles of links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.helpers import parseLinkDestination, parseLinkLabel, parseLinkTitle
from markdown_it.rules_inline import StateInline

from model.text.markup.tokens import Kind, Token

__all__ = ["DEFINITION", "LinkText", "link_texts"]

DEFINITION = "[]:"
"""What a boundary shows that is the definition of a link."""
_PARSER = MarkdownIt("commonmark").disable("text_join")
_GAP = re.compile(r"[ \t\n]*")
_LABEL = re.compile(r"\[(?:[^\[\]\\]|\\.)+\]:")
_SPELLED = re.compile(
    r"\\[!-/:-@\[-`{-~]|&(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)
"""What stands for a character: one that is escaped, or a reference."""


class LinkText(NamedTuple):
    """A description or title in the source of an image, the end of a link or a definition."""

    begin: int
    """Its first character, marks around it included."""
    end: int
    tokens: Sequence[Token]
    """Its text; places are behind the first mark."""
    marks: str
    """The marks around it; a description has none of its own."""


def link_texts(token: Token, source: str) -> Iterator[LinkText]:
    """The description and the title in a token of Markdown, if it has any that is plain text.

    Args:
        token: of an image, of the end of a link, or of a definition.
        source: of the token.
    """
    kind = token.kind
    if kind is Kind.POINT and source.startswith("!["):
        state = StateInline(source, _PARSER, {}, [])
        end = parseLinkLabel(state, 1)
        if end < 0:
            return
        target = source[end + 1 : end + 2]
        is_reference = target == "[" and source[end + 2 : end + 3] != "]"
        # Else what describes it is its name too.
        if (target == "(" or is_reference) and (tokens := _description(source[2:end])):
            yield LinkText(2, end, tokens, "")
        yield from _title(source, end + 2) if target == "(" else ()
    elif kind is Kind.CLOSE and source.startswith("]("):
        yield from _title(source, 2)
    elif token.text == DEFINITION and (found := _LABEL.search(source)):
        yield from _title(source, found.end())


def _description(source: str) -> list[Token]:
    """The text of a description; nothing where it has inline elements."""
    tokens: list[Token] = []
    at = 0
    [inline] = _PARSER.parseInline(source)
    for child in inline.children or ():
        if child.type not in ("text", "text_special"):
            return []
        is_text = child.type == "text"
        end = at + len(child.content if is_text else child.markup)
        kind = Kind.TEXT if is_text else Kind.REFERENCE
        tokens.append(Token(kind, at, end, child.content))
        at = end
    return tokens if at == len(source) else []


def _title(source: str, at: int) -> Iterator[LinkText]:
    """The title behind the destination that begins at a place, if it is in one line."""
    begin = _behind_gap(source, at)
    destination = parseLinkDestination(source, begin, len(source))
    begin = _behind_gap(source, destination.pos if destination.ok else begin)
    title = parseLinkTitle(source, begin, len(source))
    if not title.ok or "\n" in title.str or "\r" in title.str:
        return
    end = title.pos
    tokens: list[Token] = []
    at = 0
    value = source[begin + 1 : end - 1]
    for found in _SPELLED.finditer(value):
        tokens.append(Token(Kind.TEXT, at, found.start(), value[at : found.start()]))
        tokens.append(Token(Kind.REFERENCE, *found.span(), unescapeAll(found[0])))
        at = found.end()
    tokens.append(Token(Kind.TEXT, at, len(value), value[at:]))
    if "".join(token.text for token in tokens) == title.str:
        yield LinkText(
            begin, end, [each for each in tokens if each.text], source[begin] + source[end - 1]
        )


def _behind_gap(source: str, at: int) -> int:
    found = _GAP.match(source, at)
    return at if found is None else found.end()
