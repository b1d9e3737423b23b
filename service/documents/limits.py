"""How large a document may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from service.documents.errors import DocumentTooLargeError

__all__ = ["DocumentLimits"]


_Each = TypeVar("_Each")


@dataclass(frozen=True, kw_only=True)
class DocumentLimits:
    """Limits of one document."""

    max_bytes: int = 32 * 2**20
    """Largest file."""
    max_characters: int = 2_000_000
    """Most characters that are translated."""
    max_units: int = 100_000
    """Most texts that are translated: paragraphs, cells, messages, sentences of subtitles."""
    max_members: int = 10_000
    """Most files within an archive: .docx and its like, .epub."""
    max_unpacked_bytes: int = 256 * 2**20
    """Most bytes of all files within an archive, unpacked."""
    max_growth: int = 200
    """How many times larger than itself an archive may be, unpacked; 1 MiB is always allowed."""
    max_xml_bytes: int = 32 * 2**20
    """Largest XML file; in memory it takes ten times as much, and thirty times at most."""
    max_depth: int = 200
    """Elements of XML, or values of JSON, within each other."""

    def check(self, name: str, what: str, size: int) -> None:
        """Holds a size against a limit.

        Raises:
            DocumentTooLargeError: it is larger.
        """
        most: int = getattr(self, name)
        if size > most:
            raise DocumentTooLargeError(
                f"{what} must be at most {most} (`{name}`), but {size} was found"
            )

    def bounded(self, units: Iterable[_Each]) -> Iterator[_Each]:
        """Units as they are found, as long as there are not too many.

        Raises:
            DocumentTooLargeError: there are more than `max_units`.
        """
        for number, unit in enumerate(units, start=1):
            if number > self.max_units:
                self.check("max_units", "the texts of a document", number)
            yield unit
