"""Texts of which parts are replaced by their translations: all else stays, to the character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.documents.document import Document, Unit

__all__ = ["Edit", "edited", "text_document"]


class Edit(NamedTuple):
    """A part of a text that a translation replaces."""

    begin: int
    end: int
    unit: Unit
    spell: Callable[[str], str] = str
    """How a translation is written there."""


def edited(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """A text with parts replaced.

    Args:
        edits: begin, end and what is written there; in order, apart from each other.
    """
    parts: list[str] = []
    at = 0
    for begin, end, written in edits:
        parts += (text[at:begin], written)
        at = end
    return "".join([*parts, text[at:]])


def text_document(text: str, edits: Sequence[Edit], encode: Callable[[str], bytes]) -> Document:
    """A document that is one text.

    Args:
        edits: what is translated of it, in order.
        encode: makes a file of it.
    """

    def write(translations: Sequence[str]) -> bytes:
        written = (
            (edit.begin, edit.end, edit.spell(translation))
            for edit, translation in zip(edits, translations, strict=True)
        )
        return encode(edited(text, list(written)))

    return Document([edit.unit for edit in edits], write)
