"""The formats of documents, by name, extension and media type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath

from service.documents.document import Document, DocumentOptions
from service.documents.errors import (
    DamagedDocumentError,
    DocumentError,
    UnsupportedDocumentError,
)

__all__ = ["DOCUMENT_FORMATS", "EXTENSIONS", "DocumentFormat", "find_format"]

_OFFICE = "application/vnd.openxmlformats-officedocument"


@dataclass(frozen=True, kw_only=True)
class DocumentFormat:
    """A format of documents."""

    name: str
    """Its usual extension, without the dot."""
    module: str
    """A module of this package. Imported when a file is read: gateways only tell what the formats
    are, and would have 13 MB of libraries for them."""
    media_types: tuple[str, ...]
    """The one that a translated document has comes first."""
    extensions: tuple[str, ...] = ()
    """With a dot; none for that of its name alone."""

    @property
    def media_type(self) -> str:
        """What a translated document is served as."""
        return self.media_types[0]

    def read(self, data: bytes, options: DocumentOptions) -> Document:
        """What of a file is translated. It takes seconds for a large one: call it on a thread.

        Raises:
            DocumentError: it is damaged, too large, or lacks what the options name.
        """
        from lxml import etree

        limits = options.limits
        limits.check("max_bytes", "the bytes of a document", len(data))
        try:
            document = self._reader(data, options)
        except DocumentError:
            raise
        except (
            etree.LxmlError, LookupError, OSError, RecursionError, TypeError, AttributeError,
            ValueError,
        ) as error:  # fmt: skip
            raise DamagedDocumentError(
                f"the document must be a .{self.name} file, but is damaged"
            ) from error
        limits.check("max_units", "the texts of a document", len(document.units))
        limits.check("max_characters", "the characters of a document", document.num_characters)
        return document

    @property
    def _reader(self) -> Callable[[bytes, DocumentOptions], Document]:
        read: Callable[[bytes, DocumentOptions], Document]
        read = import_module(f"{__package__}.{self.module}").read
        return read


DOCUMENT_FORMATS: tuple[DocumentFormat, ...] = (
    DocumentFormat(
        name="txt",
        module="plain_text",
        media_types=("text/plain",),
        extensions=(".txt", ".text"),
    ),
    DocumentFormat(
        name="md",
        module="markdown_text",
        media_types=("text/markdown",),
        extensions=(".md", ".markdown"),
    ),
    DocumentFormat(
        name="html",
        module="html_page",
        media_types=("text/html", "application/xhtml+xml"),
        extensions=(".html", ".htm", ".xhtml"),
    ),
    DocumentFormat(name="srt", module="subtitles", media_types=("application/x-subrip",)),
    DocumentFormat(name="vtt", module="subtitles", media_types=("text/vtt",)),
    DocumentFormat(
        name="docx",
        module="docx",
        media_types=(f"{_OFFICE}.wordprocessingml.document",),
        extensions=(".docx", ".docm", ".dotx"),
    ),
    DocumentFormat(
        name="pptx",
        module="pptx",
        media_types=(f"{_OFFICE}.presentationml.presentation",),
        extensions=(".pptx", ".pptm", ".potx", ".ppsx"),
    ),
    DocumentFormat(
        name="xlsx",
        module="xlsx",
        media_types=(f"{_OFFICE}.spreadsheetml.sheet",),
        extensions=(".xlsx", ".xlsm", ".xltx"),
    ),
    DocumentFormat(
        name="odt",
        module="odt",
        media_types=("application/vnd.oasis.opendocument.text",),
        extensions=(".odt", ".ott"),
    ),
    DocumentFormat(name="epub", module="epub", media_types=("application/epub+zip",)),
    DocumentFormat(
        name="po",
        module="po",
        media_types=("text/x-gettext-translation",),
        extensions=(".po", ".pot"),
    ),
    DocumentFormat(
        name="xliff",
        module="xliff",
        media_types=("application/xliff+xml", "application/x-xliff+xml"),
        extensions=(".xliff", ".xlf"),
    ),
    DocumentFormat(name="json", module="json_strings", media_types=("application/json",)),
    DocumentFormat(
        name="csv",
        module="csv_table",
        media_types=("text/csv", "text/tab-separated-values"),
        extensions=(".csv", ".tsv"),
    ),
)
"""In the order in which they are told to people."""

_BY_EXTENSION = {
    extension: each
    for each in DOCUMENT_FORMATS
    for extension in each.extensions or (f".{each.name}",)
}
EXTENSIONS = tuple(_BY_EXTENSION)
"""Those of all formats, with their dots."""
_BY_MEDIA_TYPE = {kind: each for each in DOCUMENT_FORMATS for kind in each.media_types}


def find_format(filename: str | None = None, media_type: str | None = None) -> DocumentFormat:
    """The format of a file: that of its name, or else that of its media type.

    Raises:
        UnsupportedDocumentError: neither is known.
    """
    extension = PurePath(filename or "").suffix.lower()
    found = _BY_EXTENSION.get(extension)
    if found is None and media_type is not None:
        found = _BY_MEDIA_TYPE.get(media_type.partition(";")[0].strip().lower())
    if found is None:
        known = ", ".join(f".{each.name}" for each in DOCUMENT_FORMATS)
        told = repr(extension[:20]) if extension else "nothing that is known"
        raise UnsupportedDocumentError(f"the document must be one of {known}, but is {told}")
    return found
