"""A document's tokens cut into blocks.

A block ends at a boundary. So it does at an inline tag that has no partner within the block, and at
one that is nested too deeply: broken markup is kept in its order, and comes back no more broken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from model.text.markup.block import OBJECT, Attribute, Block, Document, Inline
from model.text.markup.tokens import Kind, Token
from model.text.words import Span

__all__ = ["MAX_DEPTH", "cut"]

MAX_DEPTH = 64
"""Inline elements in each other, at most, that move with their words."""
_WHITE_SPACE = " \t\n\r\f\xa0"


def cut(
    source: str, tokens: Sequence[Token], *, syntax: str, attributes: Sequence[Attribute] = ()
) -> Document:
    """The document of `source`, whose tokens are given.

    Args:
        syntax: `html`, `xml` or `markdown`: how translations are written.
        attributes: that are translated.
    """
    ends = _block_ends(tokens)
    parts: list[str | Block] = []
    first = 0
    for index in [*(index for index, end in enumerate(ends) if end), len(tokens)]:
        run = tokens[first:index]
        if run:
            parts.append(_part(source, run, syntax))
        if index < len(tokens):
            parts.append(source[tokens[index].begin : tokens[index].end])
        first = index + 1
    return Document(parts=tuple(parts), attributes=tuple(attributes))


def _block_ends(tokens: Sequence[Token]) -> list[bool]:
    """Whether each token ends a block: boundaries, and tags that do not enclose part of one."""
    ends = [False] * len(tokens)
    stack: list[int] = []
    is_open: Counter[str] = Counter()
    cut_below = 0  # so many of the elements on the stack contain the end of a block
    for index, token in enumerate(tokens):
        ending = token.kind is Kind.BOUNDARY
        if token.kind is Kind.OPEN and len(stack) < MAX_DEPTH:
            stack.append(index)
            is_open[token.text] += 1
        elif token.kind is Kind.OPEN or (token.kind is Kind.CLOSE and not is_open[token.text]):
            ending = True
        elif token.kind is Kind.CLOSE:
            partner = stack.pop()
            is_open[tokens[partner].text] -= 1
            while tokens[partner].text != token.text:
                ends[partner] = ending = True
                partner = stack.pop()
                is_open[tokens[partner].text] -= 1
            if ending or len(stack) < cut_below:
                ends[partner] = ending = True
        ends[index] = ending
        cut_below = len(stack) if ending else min(cut_below, len(stack))
    for index in stack:
        ends[index] = True
    return ends


def _part(source: str, tokens: Sequence[Token], syntax: str) -> str | Block:
    if not any(
        token.kind in (Kind.TEXT, Kind.REFERENCE) and any(map(str.isalnum, token.text))
        for token in tokens
    ):
        return source[tokens[0].begin : tokens[-1].end]
    builder = _BlockBuilder(source)
    for token in tokens:
        builder.add(token)
    return builder.block(source[tokens[0].begin : tokens[-1].end], syntax)


class _BlockBuilder:
    """Collects the text and the inline elements of a block.

    White space behind white space belongs to the tag between the two; at the beginning and at the
    end of the block it is kept as well.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._before: list[str] = []
        self._text: list[str] = []
        self._spans: list[Span] = []
        self._spaces: dict[int, str] = {}
        self._spellings: defaultdict[str, list[str]] = defaultdict(list)
        self._references: set[str] = set()
        self._open: list[Inline] = [Inline(0, 0, "")]
        self._last: Inline | None = None
        self._closed = False
        self._begins_apart = self._ends_word = False

    def add(self, token: Token) -> None:
        """Adds the next token."""
        spelled = self._source[token.begin : token.end]
        self._part_words(token)
        place = len(self._text)
        match token.kind:
            case Kind.SEAM:
                self._begins_apart = self._ends_word = True
            case Kind.TEXT:
                for at, character in enumerate(token.text, token.begin):
                    self._write(character, character, at)
            case Kind.REFERENCE:
                self._refer(token.text, spelled, token.begin)
            case Kind.BREAK if place:
                self._spaces[place] = spelled
                self._append("\n", spelled, token.begin)
                self._last = None
            case Kind.OPEN:
                self._open.append(self._begin(Inline(place, place, spelled)))
            case Kind.CLOSE:
                inline = self._open.pop()
                inline.end, inline.closing = place, spelled
                self._last, self._closed = inline, True
            case Kind.VERBATIM:
                self._append(OBJECT, spelled, token.begin)
                self._begin(Inline(place, place + 1, spelled, verbatim=True))
            case _:
                self._begin(Inline(place, place, spelled))

    def _part_words(self, token: Token) -> None:
        """Puts in the space that the source has not, before what comes behind a seam."""
        if self._ends_word and token.kind in (Kind.TEXT, Kind.REFERENCE, Kind.VERBATIM):
            self._ends_word = False
            if self._text and self._text[-1] not in " \n" and token.text[:1] not in _WHITE_SPACE:
                self._spaces[len(self._text)] = ""
                self._append(" ", "", token.begin)
                self._last = None

    def _begin(self, inline: Inline) -> Inline:
        inline.apart, self._begins_apart = self._begins_apart, False
        self._open[-1].children.append(inline)
        self._last, self._closed = inline, False
        return inline

    def _append(self, character: str, spelled: str, begin: int) -> None:
        self._text.append(character)
        self._spans.append((begin, begin + len(spelled)))

    def _refer(self, characters: str, spelled: str, begin: int) -> None:
        # &copyright is &copy and letters that stand for themselves.
        letters = ""
        while len(characters) > 1 and spelled.endswith(characters[-1]):
            letters = characters[-1] + letters
            characters, spelled = characters[:-1], spelled[:-1]
        if len(characters) == 1:
            self._references.add(characters)
            self._write(characters, spelled, begin)
        else:
            # One reference for two characters: kept.
            self._begin(Inline(len(self._text), len(self._text), spelled))
        for at, letter in enumerate(letters, begin + len(spelled)):
            self._write(letter, letter, at)

    def _write(self, character: str, spelled: str, begin: int) -> None:
        if character not in _WHITE_SPACE:
            self._spellings[character].append(spelled)
            self._append(character, spelled, begin)
            self._last = None
            return
        place = len(self._text)
        if self._last is None and place and self._text[-1] in " \n":
            self._spaces[place - 1] = self._spaces.get(place - 1, self._text[-1]) + spelled
        elif self._last is None and not place:
            self._before.append(spelled)
        elif place and self._text[-1] not in " \n":
            if spelled != " ":
                self._spaces[place] = spelled
            self._append(" ", spelled, begin)
            self._last = None
        elif self._last is not None and self._closed:
            self._last.closing += spelled
        elif self._last is not None:
            self._last.opening += spelled

    def block(self, source: str, syntax: str) -> Block:
        """What was added, as a block."""
        text = "".join(self._text)
        return Block(
            source=source,
            text=text.rstrip(" \n"),
            spans=self._spans[: len(text.rstrip(" \n"))],
            behind=text[len(text.rstrip(" \n")) :],
            inlines=tuple(self._open[0].children),
            spaces=self._spaces,
            spellings={
                character: tuple(ways)
                for character, ways in self._spellings.items()
                if character in self._references
                or (syntax == "markdown" and not character.isalnum())
            },
            syntax=syntax,
            before="".join(self._before),
        )
