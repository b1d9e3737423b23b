"""Presentations (.pptx): slides with their tables, charts and diagrams, and the speaker's notes."""

from __future__ import annotations

from service.documents.document import Document, DocumentOptions
from service.documents.drawing_text import drawing_segments
from service.documents.ooxml import OoxmlPackage
from service.documents.segments import Segment

__all__ = ["read"]


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    package = OoxmlPackage(data, options, "presentationml", "ms-powerpoint")
    found: list[Segment] = []
    for name, part in package.parts("presentationml.slide", "presentationml.notesSlide"):
        found += options.limits.bounded(drawing_segments(part.root))
        package.change(name, part)
    return package.document([*found, *package.drawn()])
