"""XML as tokens, by expat, which refuses what is not well-formed.

XML does not say which elements are inline: those are that stand, at any depth, in an element with
text of its own, as long as nobody says otherwise. A part of a document is read as well: a text with
elements, without one around it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from xml.parsers import expat

from model.errors import InvalidRequestError
from model.text.markup.tokens import Kind, Token
from model.text_options import DETECTED_STRUCTURE, XmlStructure

__all__ = ["read_xml"]

_ROOT, _END_OF_ROOT = b"<r>", b"</r>"
"""What a part of a document is read in."""


@dataclass(slots=True)
class _Element:
    parent: _Element | None
    untranslated: bool = False
    mixed: bool = False
    inline: bool = False
    joined: bool = False
    """Whether it is inline only because somebody says so."""

    def settle(self, name: str, structure: XmlStructure) -> None:
        """Finds out whether it is inline, once that is known of its parent."""
        parent = self.parent
        found = parent is not None and ((parent.inline and not parent.joined) or parent.mixed)
        told = name in structure.non_splitting or not structure.detected
        self.inline = (found or told) and name not in structure.splitting
        self.joined = self.inline and not found


@dataclass(slots=True)
class _Event:
    kind: Kind
    begin: int
    """In bytes."""
    text: str
    element: _Element


def read_xml(
    source: str,
    ignored: frozenset[str] = frozenset(),
    structure: XmlStructure = DETECTED_STRUCTURE,
) -> list[Token]:
    """The tokens of an XML document, or of a part of one. Time is linear.

    Args:
        source: the document.
        ignored: names of elements that are not translated, as they are written.
        structure: names of elements that are inline, and of those that are not.

    Raises:
        InvalidRequestError: it is not well-formed.
    """
    events = _Reader(source, ignored).events
    places = _places(source, [event.begin for event in events])
    tokens: list[Token] = []
    kept: list[_Event] = []  # the start tag of what stays as it is, while that lasts
    for event, (begin, end) in zip(events, pairwise([*places, len(source)]), strict=True):
        element = event.element
        if event.kind is Kind.OPEN:
            element.settle(event.text, structure)
            if element.joined and not kept:
                tokens.append(Token(Kind.SEAM, begin, begin))
        if kept:
            text = _visible(event, source[begin:end])
            tokens[-1] = replace(tokens[-1], end=end, text=tokens[-1].text + text)
            if event.kind is Kind.CLOSE and element is kept[0].element:
                kept.clear()
                if tokens[-1].kind is Kind.VERBATIM and not tokens[-1].text.strip():
                    tokens[-1] = replace(tokens[-1], kind=Kind.POINT)
        elif event.kind is Kind.OPEN and element.untranslated:
            kept.append(event)
            tokens.append(Token(Kind.VERBATIM if element.inline else Kind.BOUNDARY, begin, end))
        elif event.kind is Kind.CLOSE and begin == end:
            # An element in one tag.
            if element.inline:
                tokens[-1] = replace(tokens[-1], kind=Kind.POINT)
        else:
            tokens.append(_token(event, begin, end, source[begin:end]))
    return tokens


def _token(event: _Event, begin: int, end: int, spelled: str) -> Token:
    tag = event.kind in (Kind.OPEN, Kind.CLOSE)
    kind = Kind.BOUNDARY if tag and not event.element.inline else event.kind
    if kind is Kind.TEXT and spelled.startswith("&"):
        return Token(Kind.REFERENCE, begin, end, event.text)
    return Token(kind, begin, end, spelled if kind is Kind.TEXT else event.text)


def _visible(event: _Event, spelled: str) -> str:
    if event.kind is not Kind.TEXT:
        return ""
    return event.text if spelled.startswith("&") else spelled


def _places(source: str, begins: list[int]) -> list[int]:
    """Places in bytes as places in characters."""
    data = source.encode("utf-8", "surrogatepass")
    places: list[int] = []
    last = place = 0
    for begin in begins:
        place += len(data[last:begin].decode("utf-8", "surrogatepass"))
        places.append(place)
        last = begin
    return places


class _Reader:
    """Collects what expat finds in a source."""

    def __init__(self, source: str, ignored: frozenset[str]) -> None:
        self.events: list[_Event] = []
        self._ignored = ignored
        self._element = _Element(None)
        self._in_cdata = False
        self._parser = expat.ParserCreate("utf-8")
        is_document = source.lstrip().startswith("<?xml") or "<!DOCTYPE" in source
        self._skipped = 0 if is_document else len(_ROOT)
        # References that some other document defines are no errors.
        self._parser.UseForeignDTD(True)
        try:
            if not is_document:
                self._parser.Parse(_ROOT, False)
            self._listen()
            self._parser.Parse(source.encode("utf-8", "surrogatepass"), is_document)
            if not is_document:
                self._stop_listening()
                self._parser.Parse(_END_OF_ROOT, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise InvalidRequestError(
                f"XML must be well-formed, but line {error.lineno} is not: {reason}"
            ) from error

    def _listen(self) -> None:
        parser = self._parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = partial(self._add, Kind.POINT)
        parser.ProcessingInstructionHandler = partial(self._add, Kind.POINT)
        parser.StartCdataSectionHandler = self._begin_cdata
        parser.EndCdataSectionHandler = self._end_cdata
        parser.DefaultHandler = self._default

    def _stop_listening(self) -> None:
        self._parser.EndElementHandler = None
        self._parser.DefaultHandler = None

    def _add(self, kind: Kind, text: str = "", *_data: str) -> None:
        begin = self._parser.CurrentByteIndex - self._skipped
        self.events.append(_Event(kind, begin, text, self._element))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        told = attributes.get("translate", attributes.get("its:translate"))
        untranslated = self._element.untranslated if told is None else told == "no"
        untranslated |= name in self._ignored
        self._element = _Element(self._element, untranslated)
        self._add(Kind.OPEN, name)

    def _end(self, name: str) -> None:
        self._add(Kind.CLOSE, name)
        if self._element.parent is not None:
            self._element = self._element.parent

    def _characters(self, data: str) -> None:
        if not self._in_cdata:
            self._element.mixed |= not data.isspace()
            self._add(Kind.TEXT, data)

    def _begin_cdata(self) -> None:
        self._add(Kind.POINT)
        self._in_cdata = True

    def _end_cdata(self) -> None:
        self._in_cdata = False

    def _default(self, data: str) -> None:
        # A reference to what is not defined here, or a part of the prologue.
        if not self._in_cdata:
            self._add(Kind.POINT if data.startswith("&") else Kind.BOUNDARY)
