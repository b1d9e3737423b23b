"""A block: a plain text to translate, and the inline elements of the source as ranges over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from model.text.words import Span

__all__ = ["OBJECT", "Attribute", "Block", "Document", "Inline"]

OBJECT = "\ufffc"
"""Stands in a block's text for an element that is not translated, such as code: Unicode's own sign
for that. No vocabulary has it, so that it is carried through as other signs are."""


@dataclass(slots=True)
class Inline:
    """An inline element, or what stands between words and has none."""

    begin: int
    """Its first character in the block's text."""
    end: int
    """The character behind its last; `begin` where it has no text."""
    opening: str
    """Its start tag, or all of it where nothing in it is translated."""
    closing: str = ""
    """Its end tag."""
    verbatim: bool = False
    """Whether its text is an OBJECT."""
    apart: bool = False
    """Whether a word ends where it begins or ends, though no space may be there."""
    children: list[Inline] = field(default_factory=list)
    """In the order of the source; within `begin` and `end`, apart from each other."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A text that is translated as one, and how its source is written."""

    source: str
    """All of it, as it is written."""
    text: str
    """What a reader sees; white space is single, a line feed is a forced line break. It neither
    begins nor ends with either."""
    spans: Sequence[Span]
    """Where in the document each character of `text` is written."""
    behind: str
    """White space behind `text`, as single as in it."""
    inlines: tuple[Inline, ...]
    spaces: dict[int, str]
    """How a space or a line break of `text` is written in the source, where it is otherwise: as
    nothing where an element is `apart`."""
    spellings: dict[str, tuple[str, ...]]
    """How the characters are written, in their order, of which the source has references; in
    Markdown, all that are neither letters nor digits."""
    syntax: str
    """`html`, `xml` or `markdown`: which characters cannot stand for themselves."""
    before: str = ""
    """What of the source comes first and is kept."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute that is read by people, such as `alt`."""

    begin: int
    """Its first character in the document, marks around it included."""
    end: int
    block: Block
    marks: str
    """The quotation marks or brackets around it, if any."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document in parts."""

    parts: tuple[str | Block, ...]
    """Its blocks, and what is kept between them, in the order of the source."""
    attributes: tuple[Attribute, ...] = ()
    """In their order; none unless they are to be translated."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is translated, attributes aside."""
        return tuple(part for part in self.parts if isinstance(part, Block))
