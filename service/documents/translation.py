"""A document translated in this thread, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from service.documents.document import Batch, Document

__all__ = ["Translate", "translated"]


class Translate(Protocol):
    """Translates texts of one format."""

    def __call__(self, batch: Batch) -> Sequence[str]:
        """A translation for each text of a batch, in its format."""


def translated(
    document: Document, translate: Translate, progress: Callable[[int], object] | None = None
) -> bytes:
    """The file with translations.

    Args:
        document: which has not been written yet.
        translate: is given one batch after another.
        progress: is told how many characters a batch had, behind each; what it raises ends the
            work.
    """
    translations = [""] * len(document.units)
    for batch in document.batches():
        found = translate(batch)
        for place, text in zip(batch.places, found, strict=True):
            translations[place] = text
        if progress is not None:
            progress(batch.num_characters)
    return document.written(translations)
