"""Packages of Office Open XML: .docx, .pptx and .xlsx."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from service.documents.archive import DocumentArchive
from service.documents.document import Document, DocumentOptions
from service.documents.drawing_text import drawing_segments
from service.documents.errors import DamagedDocumentError
from service.documents.segments import Segment
from service.documents.xml_files import XmlFile, local_name

__all__ = ["OoxmlPackage"]

_CONTENT_TYPES = "[Content_Types].xml"
_DRAWINGS = ("drawingml.chart", "diagramData", "diagramDrawing", "officedocument.drawing")


class OoxmlPackage:
    """The parts of a package. Those that are translated are written anew, others as they are.

    Args:
        data: the file.
        options: of the document.
        kinds: what the content type of the main part has one of, such as `wordprocessingml`.

    Raises:
        DocumentError: it is damaged, too large, or of another kind.
    """

    def __init__(self, data: bytes, options: DocumentOptions, *kinds: str) -> None:
        self._limits = options.limits
        self._archive = DocumentArchive(data, options.limits)
        self._changed: dict[str, XmlFile] = {}
        types = self._read(_CONTENT_TYPES).root
        self._types = {
            element.get("PartName", "").lstrip("/"): element.get("ContentType", "")
            for element in types
            if local_name(element) == "Override"
        }
        mains = [kind for kind in self._types.values() if kind.endswith(".main+xml")]
        if not any(kind in main for main in mains for kind in kinds):
            raise DamagedDocumentError(
                f"the document must have a main part of {kinds[0]}, but has none"
            )

    def parts(self, *kinds: str) -> Iterator[tuple[str, XmlFile]]:
        """The names of the parts whose content type ends with one of `kinds` and `+xml`, in the
        order of their numbers, and the parts."""
        ends = tuple(f"{kind}+xml" for kind in kinds)
        names = [name for name, kind in self._types.items() if kind.endswith(ends)]
        for name in sorted(names, key=lambda name: (len(name), name)):
            if name in self._archive:
                yield name, self._read(name)

    def change(self, name: str, part: XmlFile) -> None:
        """Has a part written as it will be then."""
        self._changed[name] = part

    def drawn(self) -> Iterator[Segment]:
        """What is translated of charts, diagrams, and shapes in sheets."""
        for name, part in self.parts(*_DRAWINGS):
            found = list(self._limits.bounded(drawing_segments(part.root)))
            if found:
                self.change(name, part)
            yield from found

    def written(self) -> bytes:
        """The file with what was changed."""
        return self._archive.written({name: part.written() for name, part in self._changed.items()})

    def document(self, found: Sequence[Segment]) -> Document:
        """The document in which these segments are translated."""

        def write(translations: Sequence[str]) -> bytes:
            for segment, translation in zip(found, translations, strict=True):
                segment.put(translation)
            return self.written()

        return Document([segment.inline.unit for segment in found], write)

    def _read(self, name: str) -> XmlFile:
        content = self._archive.read(name)
        return XmlFile(content, self._archive.limits, posixpath.basename(name))
