"""Markdown as tokens, by markdown-it: CommonMark with tables and strikethrough.

markdown-it knows the lines of blocks only. Here its rules are watched: what a rule has read, and
the tokens that it has made of it, have the same place.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from markdown_it import MarkdownIt, rules_block, rules_inline
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token as MarkdownToken

from model.text.markup.html_reader import read_html
from model.text.markup.link_texts import DEFINITION
from model.text.markup.tokens import Kind, Token

__all__ = ["read_markdown"]

_LONG_LINE_END = re.compile("\r\n")
_SPAN, _LINES, _LABEL_END = "span", "lines", "label end"
_INLINE_RULES: dict[str, Callable[[StateInline, bool], bool]] = {
    "newline": rules_inline.newline,
    "escape": rules_inline.escape,
    "backticks": rules_inline.backtick,
    "strikethrough": rules_inline.strikethrough.tokenize,
    "emphasis": rules_inline.emphasis.tokenize,
    "link": rules_inline.link,
    "image": rules_inline.image,
    "autolink": rules_inline.autolink,
    "html_inline": rules_inline.html_inline,
    "entity": rules_inline.entity,
}
_BLOCK_RULES: dict[str, Callable[[StateBlock, int, int, bool], bool]] = {
    "heading": rules_block.heading,
    "lheading": rules_block.lheading,
    "paragraph": rules_block.paragraph,
    "table": rules_block.table,
}
_TERMINATING = {
    "table": ["paragraph", "reference"],
    "heading": ["paragraph", "reference", "blockquote"],
}
_KINDS = {
    "em": Kind.OPEN, "strong": Kind.OPEN, "s": Kind.OPEN, "link": Kind.OPEN,
    "code_inline": Kind.VERBATIM, "image": Kind.POINT, "hardbreak": Kind.BREAK,
    "softbreak": Kind.REFERENCE, "text_special": Kind.REFERENCE,
}  # fmt: skip


class _Inline(ParserInline):
    """Tells where the label of the last link ended."""

    def __init__(self) -> None:
        super().__init__()
        for name, rule in _INLINE_RULES.items():
            self.ruler.at(name, _watched(rule))

    def tokenize(self, state: StateInline) -> None:
        super().tokenize(state)
        state.env[_LABEL_END] = state.posMax


def _watched(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    def watched(state: StateInline, silent: bool) -> bool:
        begin, count = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        if not silent and len(state.tokens) > count:
            _note_places(state, begin, state.tokens[count:])
        return True

    return watched


def _note_places(state: StateInline, begin: int, tokens: list[MarkdownToken]) -> None:
    last = tokens[-1]
    if last.markup == "autolink":
        tokens[-3].meta[_SPAN] = (begin, state.pos)
        return
    if last.type == "link_close":
        last.meta[_SPAN] = (state.env[_LABEL_END], state.pos)
        opening = next(token for token in tokens if token.type == "link_open")
        opening.meta[_SPAN] = (begin, begin + 1)
        return
    if last.type != "text":
        last.meta[_SPAN] = (begin, state.pos)
        return
    # Delimiters, of which later rules make tags.
    end = state.pos
    for token in reversed(tokens):
        if end <= begin:
            break
        token.meta[_SPAN] = (end - len(token.content), end)
        end -= len(token.content)


def _watched_block(
    rule: Callable[[StateBlock, int, int, bool], bool],
) -> Callable[[StateBlock, int, int, bool], bool]:
    def watched(state: StateBlock, first: int, last: int, silent: bool) -> bool:
        count = len(state.tokens)
        if not rule(state, first, last, silent):
            return False
        for token in state.tokens[count:] if not silent else ():
            if token.type == "inline" and token.map is not None:
                token.meta[_LINES] = [
                    (state.bMarks[line] + state.tShift[line], state.eMarks[line])
                    for line in range(*token.map)
                ]
        return True

    return watched


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark")
    parser.inline = _Inline()
    for name, rule in _BLOCK_RULES.items():
        parser.block.ruler.at(name, _watched_block(rule), {"alt": _TERMINATING.get(name, [])})
    parser.configure("commonmark").enable(["table", "strikethrough"]).disable("text_join")
    return parser


def read_markdown(source: str) -> list[Token]:
    """The tokens of a Markdown document."""
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    begin = _end_of_front_matter(text)
    body = text[begin:].replace("\0", "\ufffd")
    # Where in the text a line end has one character less than in the source.
    shorter = [match.start() - index for index, match in enumerate(_LONG_LINE_END.finditer(source))]
    tokens: list[Token] = []
    # Definitions stand between blocks, of which each begins and ends with a boundary.
    for token in sorted(_block_tokens(body), key=lambda token: token.begin):
        first, last = (
            place + bisect_left(shorter, place)
            for place in (begin + token.begin, begin + token.end)
        )
        spelled = source[first:last] if token.kind is Kind.TEXT else token.text
        tokens.append(Token(token.kind, first, last, spelled))
    return list(_with_gaps(tokens, len(source)))


def _block_tokens(body: str) -> Iterator[Token]:
    """The tokens of blocks with text, each between two boundaries, and then definitions of links
    that are one line each."""
    lines = [0, *(place + 1 for place, character in enumerate(body) if character == "\n")]
    row: tuple[int, int] = (-1, 0)  # where the last cell's line begins, and where it ended
    found: dict[str, Any] = {}
    for token in _parser().parse(body, found):
        if token.type == "html_block" and token.map is not None:
            first = lines[token.map[0]]
            last = lines[token.map[1]] if token.map[1] < len(lines) else len(body)
            yield Token(Kind.BOUNDARY, first, first)
            for each in read_html(body[first:last]):
                yield replace(each, begin=first + each.begin, end=first + each.end)
            yield Token(Kind.BOUNDARY, last, last)
        elif token.type == "inline" and token.content and token.meta.get(_LINES):
            places, row = _places(body, token, row)
            if places:
                yield Token(Kind.BOUNDARY, places[0], places[0])
                yield from _inline_tokens(body, token, places)
    for definition in found.get("references", {}).values():
        first, last = definition["map"]
        if last == first + 1:
            end = lines[last] if last < len(lines) else len(body)
            yield Token(Kind.BOUNDARY, lines[first], end, DEFINITION)


def _end_of_front_matter(source: str) -> int:
    first, *rest = source.split("\n", 1)
    if first.rstrip() != "---" or not rest:
        return 0
    place = len(first) + 1
    for line in rest[0].split("\n"):
        place += len(line) + 1
        if line.rstrip() in ("---", "..."):
            return min(place, len(source))
    return 0


def _with_gaps(tokens: list[Token], end: int) -> Iterator[Token]:
    last = 0
    for token in [*tokens, Token(Kind.BOUNDARY, end, end)]:
        if token.begin > last:
            yield Token(Kind.BOUNDARY, last, token.begin)
        yield token
        last = token.end


def _places(
    body: str, token: MarkdownToken, row: tuple[int, int]
) -> tuple[list[int], tuple[int, int]]:
    """Where each character of an inline token's content stands, and where its end does.

    Nothing where it stands otherwise than expected: then it is kept.
    """
    lines: list[tuple[int, int]] = token.meta[_LINES]
    places: list[int] = []
    contents = token.content.split("\n")
    if len(contents) == 1:
        return _places_in_line(body, token.content, lines[0], row)
    at = 0
    for index, (content, (first, _last)) in enumerate(zip(contents, lines, strict=False)):
        stripped = content.lstrip(" \t")
        if not body.startswith(stripped, first):
            return [], row
        at = first + len(stripped)
        places += [first] * (len(content) - len(stripped))
        places += range(first, at)
        if index < len(contents) - 1:
            # The line feed, or what stands before it.
            places.append(at)
    places.append(at)
    return places, row


def _places_in_line(
    body: str, content: str, line: tuple[int, int], row: tuple[int, int]
) -> tuple[list[int], tuple[int, int]]:
    first, last = line
    begin = row[1] if row[0] == first else first
    at = body.find(content, begin, last)
    if at >= 0:
        places = list(range(at, at + len(content) + 1))
        return places, (first, places[-1])
    # A cell: only in it, | is escaped.
    at = body.find(content.replace("|", "\\|"), begin, last)
    if at < 0:
        return [], row
    places = []
    for character in content:
        places.append(at)
        at += 2 if character == "|" else 1
    return [*places, at], (first, at)


def _inline_tokens(body: str, inline: MarkdownToken, places: list[int]) -> list[Token]:
    content = inline.content
    tokens: list[Token] = []
    last = 0
    if content[:4] in ("[ ] ", "[x] ", "[X] "):
        tokens.append(Token(Kind.BOUNDARY, places[0], places[4]))
        last = 4
    for child in inline.children or ():
        if child.type == "text" or _SPAN not in child.meta:
            continue
        begin, end = child.meta[_SPAN]
        begin, end = begin - (child.type == "strong_open"), end + (child.type == "strong_close")
        while child.type == "hardbreak" and begin > last and content[begin - 1] == " ":
            begin -= 1
        if begin < last:
            continue
        tokens += _texts(content, places, last, begin)
        tokens.append(_inline_token(body, child, places[begin], places[end]))
        last = end
    tokens += _texts(content, places, last, len(content))
    tokens.append(Token(Kind.BOUNDARY, places[-1], places[-1]))
    return tokens


def _inline_token(body: str, child: MarkdownToken, begin: int, end: int) -> Token:
    name, _, side = child.type.partition("_")
    if side == "close":
        return Token(Kind.CLOSE, begin, end, name)
    if child.type == "html_inline":
        tag = read_html(child.content)[0]
        return Token(tag.kind, begin, end, f"<{tag.text}")
    if child.markup == "autolink":
        return Token(Kind.VERBATIM, begin, end, body[begin + 1 : end - 1])
    kind = _KINDS[name if side == "open" else child.type]
    text = {Kind.OPEN: name, Kind.REFERENCE: child.content or "\n"}.get(kind, child.content)
    return Token(kind, begin, end, text)


def _texts(content: str, places: list[int], begin: int, end: int) -> Iterator[Token]:
    """Text, and escaped signs in the cells of a table."""
    first = begin
    for index in range(begin, end):
        if places[index + 1] - places[index] != 1:
            if index > first:
                yield Token(Kind.TEXT, places[first], places[index], content[first:index])
            yield Token(Kind.REFERENCE, places[index], places[index + 1], content[index])
            first = index + 1
    if end > first:
        yield Token(Kind.TEXT, places[first], places[end], content[first:end])
