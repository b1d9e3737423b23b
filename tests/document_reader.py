"""Reads and writes documents in the process of the test, where a child proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.documents.document import DocumentOptions, Unit
from service.documents.formats import find_format

__all__ = ["ReaderHere"]


class ReaderHere:
    """In place of `DocumentProcess`, without its limits of memory and time."""

    def __init__(self, **limits: Any) -> None:
        pass

    def units(self, format: str, data: bytes, options: DocumentOptions) -> list[Unit]:
        """What is translated of a file."""
        return list(find_format(f"a.{format}").read(data, options).units)

    def written(
        self, format: str, data: bytes, options: DocumentOptions, translations: Sequence[str]
    ) -> bytes:
        """The file with translations."""
        return find_format(f"a.{format}").read(data, options).written(translations)
