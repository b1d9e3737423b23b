"""What the readers of markup make of a document: tokens with their places in the source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Kind", "Token"]


class Kind(Enum):
    """What a token is to a translation."""

    TEXT = "text"
    """Characters that are translated."""
    REFERENCE = "reference"
    """A character reference in such a text."""
    OPEN = "open"
    """A start tag of an inline element, which moves with its words."""
    CLOSE = "close"
    POINT = "point"
    """What stands between words and has none: an image, a comment."""
    BREAK = "break"
    """A forced line break."""
    VERBATIM = "verbatim"
    """An inline element whose words stay as they are, code for one."""
    SEAM = "seam"
    """Where words on both sides are not one word. It has no width."""
    BOUNDARY = "boundary"
    """What is kept and ends a block: the tag of a paragraph, a script."""


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a document. All tokens of a document, one after another, are its source."""

    kind: Kind
    begin: int
    """Its first character in the source."""
    end: int
    """The character behind its last."""
    text: str = ""
    """What a reader sees of TEXT, REFERENCE and VERBATIM; the name of the element of a tag."""
