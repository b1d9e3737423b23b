"""XML as tokens, by expat, which refuses what is not well-formed.

XML does not say which elements are inline: those are that stand, at any depth, in an element with
text of its own. A part of a document is read as well: a text with elements, without one around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from xml.parsers import expat

from model.errors import InvalidRequestError
from model.text.markup.tokens import Kind, Token

__all__ = ["read_xml"]

_ROOT = b"<r>"


@dataclass(slots=True)
class _Element:
    parent: _Element | None
    untranslated: bool = False
    mixed: bool = False
    inline: bool = False


@dataclass(slots=True)
class _Event:
    kind: Kind
    begin: int
    """In bytes."""
    text: str
    element: _Element


@dataclass(slots=True)
class _Reader:
    """Collects what expat finds."""

    parser: expat.XMLParserType
    element: _Element
    events: list[_Event] = field(default_factory=list)
    in_cdata: bool = False

    def listen(self) -> None:
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.CommentHandler = partial(self._other, Kind.POINT)
        self.parser.ProcessingInstructionHandler = partial(self._other, Kind.POINT)
        self.parser.StartCdataSectionHandler = partial(self._cdata, True)
        self.parser.EndCdataSectionHandler = partial(self._cdata, False)
        self.parser.DefaultHandler = self._default

    def _add(self, kind: Kind, text: str = "") -> None:
        self.events.append(_Event(kind, self.parser.CurrentByteIndex, text, self.element))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        told = attributes.get("translate", attributes.get("its:translate"))
        untranslated = self.element.untranslated if told is None else told == "no"
        self.element = _Element(self.element, untranslated)
        self._add(Kind.OPEN, name)

    def _end(self, name: str) -> None:
        self._add(Kind.CLOSE, name)
        assert self.element.parent is not None
        self.element = self.element.parent

    def _characters(self, data: str) -> None:
        self.element.mixed |= not self.in_cdata and not data.isspace()
        self._add(Kind.POINT if self.in_cdata else Kind.TEXT, data)

    def _other(self, kind: Kind, *_data: str) -> None:
        self._add(kind)

    def _cdata(self, begins: bool) -> None:
        self._add(Kind.POINT)
        self.in_cdata = begins

    def _default(self, data: str) -> None:
        # A reference to what the document does not define here, or a part of its prologue.
        self._add(Kind.POINT if data.startswith("&") else Kind.BOUNDARY)
