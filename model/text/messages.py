"""ICU messages with branches (plural, select, selectordinal): what of them is translated.

The sentence around a message says something else with each of its branches, and may want another
order of words. So it goes into the branches, as the makers of ICU advise: from `{n, plural, one {#
file} other {# files}} left.` come the sentences `# file left.` and `# files left.`, and the result
is `{n, plural, one {# Datei bleibt.} other {# Dateien bleiben.}}`. Where that would be a long text
many times over, the parts are translated one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.text.code_blocks import code_blocks
from model.text.json_syntax import json_syntax
from model.text.sentences import split_sentences
from model.text.words import Span

__all__ = ["Piece", "kept_and_said", "origins"]

_HEAD = re.compile(r"\{\s{0,20}[\w.-]{1,64}\s{0,20},\s{0,20}(plural|select|selectordinal)\s{0,20},")
_BRACE = re.compile(r"'[{}][^'\n]{0,200}'|[{}]")
"""A brace, or quoted ones, which are text."""
_BRANCH = re.compile(r"\s{0,200}(?:offset:\d{1,9}\s{1,200})?(?:=(\d{1,9})|(\w{1,64}))\s{0,20}\{")
_END = re.compile(r"\s{0,200}\}")
_BREAK = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_COUNTS = {"zero": "0", "one": "1", "two": "2", "few": "3"}
"""A number that takes the form of a branch, in most languages with such a one."""
_COUNT = "5"
"""One for all other branches."""
_DEEPEST = 3
"""Messages within each other whose branches are told apart."""
_MOST_AROUND = 500
"""Characters of a sentence, times the branches that it goes into: what a text may grow by."""


class Piece(NamedTuple):
    """A piece of a text: one that is kept, or one to translate."""

    text: str
    is_kept: bool
    origins: Sequence[int]
    """Where in the text each character is from."""
    number: str = ""
    """The number that `#` stands for in it, or one that takes the same form of the words beside it;
    empty where `#` is a sign."""


class _Branch(NamedTuple):
    begin: int
    end: int
    number: str
    """As of a piece; empty in a message that counts nothing."""


class _Message(NamedTuple):
    begin: int
    end: int
    branches: tuple[_Branch, ...]


def origins(text: str, language: str) -> Sequence[int] | None:
    """Where in `text` each character of its pieces, one after the other, is from; None if they are
    its own, in their order."""
    pieces = list(kept_and_said(text, language))
    if all(isinstance(piece.origins, range) for piece in pieces):
        return None
    return [origin for piece in pieces for origin in piece.origins]


def kept_and_said(text: str, language: str) -> Iterator[Piece]:
    """All of `text` in pieces: blocks of code and the syntax of JSON and of messages, which are
    kept, and what is between them.

    Args:
        text: of any kind.
        language: of the text, for where its sentences end.
    """
    at = 0
    for begin, end in code_blocks(text) if "```" in text or "~~~" in text else ():
        yield from _said(text, at, begin, language)
        yield Piece(text[begin:end], True, range(begin, end))
        at = end
    yield from _said(text, at, len(text), language)


def _said(text: str, begin: int, end: int, language: str) -> Iterator[Piece]:
    """The pieces of what is no code."""
    part = text[begin:end]
    at = 0
    for first, last in json_syntax(part):
        yield from _with_messages(part[at:first], begin + at, language)
        yield Piece(part[first:last], True, range(begin + first, begin + last))
        at = last
    yield from _with_messages(part[at:], begin + at, language)


def _with_messages(part: str, begin: int, language: str) -> Iterator[Piece]:
    places = range(begin, begin + len(part))
    if "{" in part and ("plural" in part or "select" in part):
        yield from _pieces(part, places, language)
    elif part:
        yield Piece(part, False, places)


def _pieces(
    text: str,
    places: Sequence[int],
    language: str,
    *,
    depth: int = 0,
    times: int = 1,
    count: str = "",
) -> Iterator[Piece]:
    """The pieces of a text that is said `times` times, within `depth` messages."""
    at = 0
    for message in _messages(text) if depth < _DEEPEST else ():
        if message.begin < at:
            continue  # it went into the branches of the one before
        said_times = times * len(message.branches)
        begin, end = _sentence(text, message, at, language, _MOST_AROUND // said_times)
        if begin == message.begin and end == message.end:
            said_times = times
        if at < begin:
            yield _part(text, places, at, begin, False, count)
        behind = message.begin
        for first, last, own in message.branches:
            yield _part(text, places, behind, first, True)
            said = text[begin : message.begin] + text[first:last] + text[message.end : end]
            origins = [
                *places[begin : message.begin], *places[first:last], *places[message.end : end]
            ]  # fmt: skip
            number = own or count
            if "{" in said:
                yield from _pieces(
                    said, origins, language, depth=depth + 1, times=said_times, count=number
                )
            elif said:
                yield _new(Piece, (said, False, origins, number))
            behind = last
        yield _part(text, places, behind, message.end, True)
        at = end
    if at < len(text):
        yield _part(text, places, at, len(text), False, count)


_new = tuple.__new__
"""Makes named tuples in half the time."""


def _part(
    text: str, places: Sequence[int], begin: int, end: int, is_kept: bool, number: str = ""
) -> Piece:
    """The piece that is there in a text of which characters are at `places`."""
    return _new(Piece, (text[begin:end], is_kept, places[begin:end], number))


def _messages(text: str) -> Iterator[_Message]:
    """Those that are whole, and not within another one."""
    heads = list(_HEAD.finditer(text))
    closing = _closing_braces(text) if heads else {}
    at = 0
    for head in heads:
        begin = head.start()
        end = closing.get(begin)
        if begin < at or end is None:
            continue
        branches = _branches(text, head.end(), end, closing, counts=head[1] != "select")
        if branches:
            yield _Message(begin, end + 1, branches)
            at = end + 1


def _closing_braces(text: str) -> dict[int, int]:
    """Where the brace is that closes each one that opens."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def _branches(
    text: str, at: int, end: int, closing: dict[int, int], *, counts: bool
) -> tuple[_Branch, ...]:
    """The branches of a message that ends at `end`; none if it is no message."""
    branches: list[_Branch] = []
    while branch := _BRANCH.match(text, at, end):
        last = closing.get(branch.end() - 1)
        if last is None:
            return ()
        count = branch[1] or _COUNTS.get(branch[2], _COUNT)
        branches.append(_Branch(branch.end(), last, count if counts else ""))
        at = last + 1
    done = _END.match(text, at)
    return tuple(branches) if done and done.end() == end + 1 else ()


def _sentence(text: str, message: _Message, at: int, language: str, most: int) -> Span:
    """Where the sentence around a message begins, not before `at`, and ends; where the message
    does, if more than `most` characters are around it."""
    if not most or _BREAK.search(text, message.begin, message.end):
        return message.begin, message.end
    line_begin = max(at, message.begin - most - 1)
    for match in _BREAK.finditer(text, line_begin, message.begin):
        line_begin = match.end()
    found = _BREAK.search(text, message.end, message.end + most + 1)
    line_end = found.start() if found else min(len(text), message.end + most + 1)
    before, behind = text[line_begin : message.begin], text[message.end : line_end]
    begin = line_begin
    for sentence in split_sentences(f"{before}X{behind}", language):
        if begin + len(sentence) > message.begin:
            end = begin + len(sentence) - 1 + (message.end - message.begin)
            first = begin + len(sentence) - len(sentence.lstrip())
            last = end - (len(sentence) - len(sentence.rstrip()))
            if last - first - (message.end - message.begin) > most:
                break
            return first, last
        begin += len(sentence)
    return message.begin, message.end
