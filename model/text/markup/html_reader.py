"""HTML as tokens, by the tokenizer of the HTML standard, broken markup included.

Elements that a browser shows as blocks end a block of text, all others are inline. Time is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate

from turbohtml import Token as HtmlToken
from turbohtml import TokenType, tokenize

from model.text.markup.tokens import Kind, Token

__all__ = ["is_untranslated", "read_html"]


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_BLOCKS = _names(
    """
    address article aside base blockquote body button caption center col colgroup datalist dd
    details dialog dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4
    h5 h6 head header hgroup hr html label legend li link main menu meta nav noscript ol optgroup
    option p param search section select slot summary table tbody td tfoot th thead title tr ul
    """
)
_KEPT = _names(
    """
    applet audio canvas iframe listing math noembed noframes object plaintext pre script style svg
    template textarea video xmp
    """
)
_VERBATIM = _names("code kbd samp tt var")
_POINTS = _names("area bgsound embed img input keygen source track wbr")
_ENDS = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>"}
_BEGINS = re.compile("|".join(map(re.escape, _ENDS)))
_WRITES_TEXT = ("<?=", "<?php echo ")
"""Instructions with which templates of PHP put in a word."""
_NOSCRIPT = re.compile(r"(?<=<)(/?)noscript(?![^\s/>])", re.IGNORECASE)
_LIKE_NOSCRIPT = r"\1fieldset"
"""As long as it, and a block as well."""


@dataclass(frozen=True, slots=True)
class _Piece:
    token: HtmlToken
    begin: int
    end: int
    kind: Kind


def read_html(source: str, ignored: frozenset[str] = frozenset()) -> list[Token]:
    """The tokens of an HTML document, or of a part of one.

    Args:
        source: the document.
        ignored: names of elements that are not translated, in any case.
    """
    ignored = frozenset(map(str.lower, ignored))
    pieces = _pieces(source, ignored)
    closing = _closing_tags(pieces)
    boundaries = list(accumulate((piece.kind is Kind.BOUNDARY for piece in pieces), initial=0))
    tokens: list[Token] = []
    index = end = 0
    while index < len(pieces):
        piece, stop = pieces[index], closing.get(index, index)
        begin, end, kind = piece.begin, piece.end, piece.kind
        text = _text(piece, source[begin:end])
        index += 1
        if kind is Kind.VERBATIM and stop < index:
            kind, text = Kind.OPEN, piece.token.tag or ""
        elif kind is Kind.VERBATIM and boundaries[stop] > boundaries[index]:
            kind, index, end = Kind.BOUNDARY, stop + 1, pieces[stop].end
        elif kind is Kind.VERBATIM:
            is_empty = not any(
                _text(each, source[each.begin : each.end]).strip() for each in pieces[index:stop]
            )
            index, end = stop + 1, pieces[stop].end
            kind = Kind.POINT if is_empty else kind
        elif source.startswith(_WRITES_TEXT, begin) and kind is Kind.POINT:
            kind = Kind.VERBATIM
        elif _is_kept(piece.token, ignored):
            index = _behind_kept(pieces, index, stop, boundaries)
            end = pieces[index - 1].end
        if begin < end:
            tokens.append(Token(kind, begin, end, text))
    if end < len(source):
        # A tag without an end: no token, and no browser shows it.
        tokens.append(Token(Kind.BOUNDARY, end, len(source)))
    return tokens


def _pieces(source: str, ignored: frozenset[str]) -> list[_Piece]:
    pieces: list[_Piece] = []
    begin = 0
    for token in tokenize(_as_meant(source), resolve_references=False, capture_source=True):
        end = begin + len((token.data if token.source is None else token.source) or "")
        pieces.append(_Piece(token, begin, end, _kind(token, ignored)))
        begin = end
    return pieces


def _as_meant(source: str) -> str:
    """A document of the same length which the tokenizer reads as people mean `source`.

    Line ends are one character each. What the standard takes for a comment, but people write as
    CDATA or as a processing instruction, ends where they end it, and an end tag without a name,
    which it leaves out, is a comment. What is for browsers without scripts is markup too.
    """
    parts: list[str] = []
    unfinished: set[str] = set()
    at = 0
    for found in _BEGINS.finditer(source):
        begin, opening = found.start(), found[0]
        if begin < at or opening in unfinished:
            continue
        end = source.find(_ENDS[opening], found.end())
        if end < 0:
            unfinished.add(opening)
            continue
        end += len(_ENDS[opening])
        if opening == "<!--":
            parts.append(source[at:end])
        else:
            parts += (source[at:begin], opening[:2], "x" * (end - begin - 3), ">")
        at = end
    text = "".join([*parts, source[at:]])
    text = text.replace("\r\n", " \n").replace("\r", "\n").replace("</>", "<!>")
    return _NOSCRIPT.sub(_LIKE_NOSCRIPT, text)


def _kind(token: HtmlToken, ignored: frozenset[str]) -> Kind:
    match token.type:
        case TokenType.TEXT:
            return Kind.TEXT
        case TokenType.CHARACTER_REFERENCE:
            return Kind.REFERENCE
        case TokenType.COMMENT | TokenType.PROCESSING_INSTRUCTION:
            return Kind.POINT
        case TokenType.DOCTYPE:
            return Kind.BOUNDARY
    name = token.tag or ""
    if name == "br":
        return Kind.BREAK
    if name in _BLOCKS or name in _KEPT:
        return Kind.BOUNDARY
    if name in _POINTS or token.self_closing:
        return Kind.POINT
    if token.type is TokenType.END_TAG:
        return Kind.CLOSE
    is_verbatim = name in _VERBATIM or is_untranslated(token, ignored)
    return Kind.VERBATIM if is_verbatim else Kind.OPEN


def is_untranslated(token: HtmlToken, ignored: frozenset[str] = frozenset()) -> bool:
    """Whether a start tag says that its element is not translated, or its name is `ignored`."""
    if token.tag in ignored:
        return True
    classes = (token.attr("class") or "").split()
    return (token.attr("translate") or "").lower() == "no" or "notranslate" in classes


def _is_kept(token: HtmlToken, ignored: frozenset[str]) -> bool:
    return token.type is TokenType.START_TAG and (
        token.tag in _KEPT or (token.tag in _BLOCKS and is_untranslated(token, ignored))
    )


def _behind_kept(pieces: list[_Piece], index: int, stop: int, boundaries: list[int]) -> int:
    """Where that ends of which the piece before `index` is the start tag.

    Without an end tag, a paragraph ends at the next boundary; a script, with the document.
    """
    if stop >= index:
        return stop + 1
    if pieces[index - 1].token.self_closing:
        return index
    if pieces[index - 1].token.tag in _KEPT:
        return len(pieces)
    return bisect_right(boundaries, boundaries[index]) - 1


def _text(piece: _Piece, spelled: str) -> str:
    if piece.kind is Kind.TEXT:
        return spelled
    if piece.kind is Kind.REFERENCE:
        return piece.token.data or ""
    return (piece.token.tag or "") if piece.kind in (Kind.OPEN, Kind.CLOSE) else ""


def _closing_tags(pieces: list[_Piece]) -> dict[int, int]:
    """The index of each start tag's end tag, of elements that contain no unclosed one of its name.

    A start tag that the source has closed itself, as XML does, has none.
    """
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    closing: dict[int, int] = {}
    for index, piece in enumerate(pieces):
        if piece.token.type is TokenType.START_TAG and not piece.token.self_closing:
            waiting[piece.token.tag or ""].append(index)
        elif piece.token.type is TokenType.END_TAG and waiting[piece.token.tag or ""]:
            closing[waiting[piece.token.tag or ""].pop()] = index
    return closing
