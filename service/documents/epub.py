"""Books (.epub): the pages of the spine, tables of contents, title and language."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from service.documents.archive import DocumentArchive
from service.documents.document import Document, DocumentOptions, Unit
from service.documents.edits import edited
from service.documents.errors import DamagedDocumentError
from service.documents.html_page import decoded_page, html_edits, with_language
from service.documents.strings import has_words, language_code, trimmed, xml_characters
from service.documents.xml_files import Element, XmlFile, local_name

__all__ = ["read"]

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")
_CONTENTS = "application/x-dtbncx+xml"


class _Book:
    """A book that is read: its units, and what writes each of its files.

    Args:
        archive: its files.
        options: of the document.
    """

    def __init__(self, archive: DocumentArchive, options: DocumentOptions) -> None:
        self._archive = archive
        self._options = options
        self.units: list[Unit] = []
        self._writers: dict[str, tuple[range, Callable[[Sequence[str]], bytes]]] = {}
        """By name of a file: which units it has, and what it is with their translations."""

    def add_page(self, name: str) -> None:
        """A page of XHTML."""
        page = decoded_page(self._archive.read(name))
        self._options.limits.check("max_characters", "the characters of a page", len(page.text))
        edits = list(html_edits(page.text))

        def write(translations: Sequence[str]) -> bytes:
            text = edited(
                page.text,
                [
                    (edit.begin, edit.end, translation)
                    for edit, translation in zip(edits, translations, strict=True)
                ],
            )
            return page.encoded(with_language(text, self._options.target), "xmlcharrefreplace")

        self._add(name, [edit.unit for edit in edits], write)

    def add_labels(self, name: str, file: XmlFile, elements: Sequence[Element]) -> None:
        """Elements with plain text of an XML file."""
        found = [each for each in elements if not len(each) and has_words(each.text or "")]

        def write(translations: Sequence[str]) -> bytes:
            for element, translation in zip(found, translations, strict=True):
                before, _, behind = trimmed(element.text)
                element.text = before + xml_characters(translation) + behind
            self._set_language(file.root)
            return file.written()

        self._add(name, [Unit(trimmed(each.text)[1]) for each in found], write)

    def _add(
        self, name: str, units: Sequence[Unit], write: Callable[[Sequence[str]], bytes]
    ) -> None:
        if name not in self._writers:
            places = range(len(self.units), len(self.units) + len(units))
            self.units += units
            self._writers[name] = (places, write)

    def _set_language(self, root: Element) -> None:
        code = self._options.target
        for element in root.iter() if code else ():
            if local_name(element) == "language":
                element.text = language_code(code or "")
        name = "{http://www.w3.org/XML/1998/namespace}lang"
        if code and root.get(name):
            root.set(name, language_code(code))

    def written(self, translations: Sequence[str]) -> bytes:
        """The book with translations of its units."""
        return self._archive.written(
            {
                name: write(translations[places.start : places.stop])
                for name, (places, write) in self._writers.items()
            }
        )


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    archive = DocumentArchive(data, options.limits)
    name = _package_name(archive, options)
    package = XmlFile(archive.read(name), options.limits, posixpath.basename(name))
    folder = posixpath.dirname(name)
    items = {
        each.get("id", ""): (_path(folder, each.get("href", "")), each.get("media-type", ""))
        for each in _named(package.root, "item")
    }
    encrypted = _encrypted(archive, options)
    spine = [items.get(each.get("idref", "")) for each in _named(package.root, "itemref")]
    more = [item for item in items.values() if item not in spine]
    book = _Book(archive, options)
    for path, kind in [*filter(None, spine), *more]:
        if kind in (*_PAGES, _CONTENTS) and path in encrypted:
            raise DamagedDocumentError("the document must not be encrypted (DRM), but is")
        if kind in _PAGES and path in archive:
            book.add_page(path)
        elif kind == _CONTENTS and path in archive:
            contents = XmlFile(archive.read(path), options.limits, posixpath.basename(path))
            book.add_labels(path, contents, _named(contents.root, "text"))
    book.add_labels(name, package, _named(package.root, "title"))
    return Document(book.units, book.written)


def _package_name(archive: DocumentArchive, options: DocumentOptions) -> str:
    container = XmlFile(archive.read(_CONTAINER), options.limits, "container.xml")
    for element in _named(container.root, "rootfile"):
        if name := element.get("full-path"):
            return str(name)
    raise DamagedDocumentError("the document must name its package, but does not")


def _named(root: Element, name: str) -> list[Element]:
    return [each for each in root.iter() if local_name(each) == name]


def _path(folder: str, reference: str) -> str:
    path = unquote(reference.partition("#")[0])
    return posixpath.normpath(posixpath.join(folder, path))


def _encrypted(archive: DocumentArchive, options: DocumentOptions) -> set[str]:
    """The files that are encrypted; fonts often are, so that nobody copies them."""
    if _ENCRYPTION not in archive:
        return set()
    root = XmlFile(archive.read(_ENCRYPTION), options.limits, "encryption.xml").root
    return {_path("", each.get("URI", "")) for each in _named(root, "CipherReference")}
