"""OpenDocument texts (.odt): body, tables, headers, footers, notes, text boxes, indexes.

Comments, fields and what tracked changes have deleted stay. Spans that look alike are one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence

from lxml import etree

from service.documents.archive import DocumentArchive
from service.documents.document import Document, DocumentOptions
from service.documents.errors import DamagedDocumentError
from service.documents.inline import Group, InlineUnit, Node, Point, Style, Text, says_words
from service.documents.segments import has_end
from service.documents.strings import language_code
from service.documents.xml_files import Element, XmlFile, append_text, local_name, namespace

__all__ = ["read"]

_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_STYLE = "urn:oasis:names:tc:opendocument:xmlns:style:1.0"
_FO = "urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_DC = "http://purl.org/dc/elements/1.1/"
_KEPT = {f"{{{_OFFICE}}}annotation", f"{{{_TEXT}}}tracked-changes", f"{{{_TEXT}}}ruby-text"}
"""Elements in which nothing is translated."""
_DROPPED = {f"{{{_TEXT}}}soft-page-break"}
_RANGE = re.compile("(.*)-(?:start|end)")
_RANGE_NAMES = ((_TEXT, "change-id"), (_TEXT, "name"), (_OFFICE, "name"))
_NOT_SEEN = ("rsid", "paragraph-rsid", "language", "country", "script", "rfc-language-tag")
"""Attributes of a style that change nothing that people see, by the ends of their names."""
_MEDIA_TYPE = "opendocument.text"
_MANIFEST = "META-INF/manifest.xml"
_WHITE_SPACE = re.compile(r"[ \t\r\n]+")


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    archive = DocumentArchive(data, options.limits)
    if "mimetype" not in archive or _MEDIA_TYPE not in archive.read("mimetype").decode("ascii"):
        raise DamagedDocumentError("the document must be an OpenDocument text, but is not")
    if _MANIFEST in archive and b"encryption-data" in archive.read(_MANIFEST):
        raise DamagedDocumentError("the document must not be encrypted, but is")
    names = [name for name in ("content.xml", "styles.xml") if name in archive or name[0] == "c"]
    files = {name: XmlFile(archive.read(name), options.limits, name) for name in names}
    if "meta.xml" in archive and options.target:
        files["meta.xml"] = XmlFile(archive.read("meta.xml"), options.limits, "meta.xml")
    paragraphs: list[_Paragraph] = []
    for file in files.values():
        styles = _looks(file.root)
        elements = options.limits.bounded(_paragraphs(file.root))
        paragraphs += [_Paragraph(each, styles) for each in elements]
    units = [inline for paragraph in paragraphs for inline in paragraph.units]

    def write(translations: Sequence[str]) -> bytes:
        remaining = iter(translations)
        for paragraph in paragraphs:
            paragraph.put([next(remaining) for _ in paragraph.units])
        for file in files.values():
            _set_language(file.root, options.target)
        return archive.written({name: file.written() for name, file in files.items()})

    return Document([inline.unit for inline in units], write)


def _paragraphs(root: Element) -> Iterator[Element]:
    """Those that are translated, in order; those within another come behind it."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element.tag in _KEPT:
            continue
        if element.tag in (f"{{{_TEXT}}}p", f"{{{_TEXT}}}h"):
            yield element
        waiting += reversed(element)


def _looks(root: Element) -> dict[str, str]:
    """What each style of text looks like, by its name; empty where it changes nothing."""
    looks: dict[str, str] = {}
    for style in root.iter(f"{{{_STYLE}}}style"):
        if style.get(f"{{{_STYLE}}}family") != "text" or not _is_automatic(style):
            continue
        seen = copy.deepcopy(style)
        seen.tail = None
        del seen.attrib[f"{{{_STYLE}}}name"]
        for element in seen.iter():
            for name in list(element.attrib):
                if name.rpartition("}")[2].startswith(_NOT_SEEN):
                    del element.attrib[name]
        says = len(seen.attrib) > 1 or any(each.attrib or len(each) for each in seen)
        look: str = etree.tostring(seen, method="c14n", exclusive=True).decode() if says else ""
        looks[style.get(f"{{{_STYLE}}}name")] = look
    return looks


def _is_automatic(style: Element) -> bool:
    parent = style.getparent()
    return parent is not None and local_name(parent) == "automatic-styles"


class _Paragraph:
    """A paragraph or a heading.

    Args:
        element: of it.
        looks: see `_looks`.
    """

    def __init__(self, element: Element, looks: dict[str, str]) -> None:
        self._element = element
        self._looks = looks
        self._spans: dict[Style, list[Element]] = {}
        """By style: the spans in each other that have it."""
        self._pieces: list[InlineUnit | list[Node]] = []
        """What is translated, and what stands between."""
        run: list[Node] = []
        for node in self._nodes(element, ()):
            tag = node.content[0].tag if isinstance(node, Point) else ""
            is_tab, is_break = tag == f"{{{_TEXT}}}tab", tag == f"{{{_TEXT}}}line-break"
            if is_tab or (is_break and _ends(run)):
                self._add(run)
                self._pieces.append([node])
                run = []
            else:
                # Nothing but the break may stand between two words.
                run += [Text(" ", _last_style(run)), node] if is_break else [node]
        self._add(run)
        self.units = [piece for piece in self._pieces if isinstance(piece, InlineUnit)]

    def _add(self, run: list[Node]) -> None:
        self._pieces.append(InlineUnit(run) if says_words(run) else run)

    def _nodes(self, element: Element, spans: tuple[Element, ...]) -> Iterator[Node]:
        style = self._style(spans)
        yield Text(_collapsed(element.text), style)
        for child in element:
            name = local_name(child) if namespace(child) == _TEXT else ""
            if name == "span":
                yield from self._nodes(child, (*spans, child))
            elif name == "s":
                yield Text(" " * _count(child), style)
            elif name == "a":
                yield Group(child, list(self._nodes(child, spans)))
            elif child.tag not in _DROPPED:
                yield Point((child, style), _range(child))
            yield Text(_collapsed(child.tail), style)

    def _style(self, spans: tuple[Element, ...]) -> Style:
        """What texts within spans look like."""
        seen: list[Element] = []
        style: list[str] = []
        for span in spans:
            name = span.get(f"{{{_TEXT}}}style-name") or ""
            look = self._looks.get(name, name)
            if look:
                seen.append(span)
                style.append(look)
        self._spans.setdefault(tuple(style), seen)
        return tuple(style)

    def put(self, translations: Sequence[str]) -> None:
        """Has the translations of its units."""
        if not self.units:
            return
        remaining = iter(translations)
        nodes: list[Node] = []
        for piece in self._pieces:
            nodes += piece.nodes(next(remaining)) if isinstance(piece, InlineUnit) else piece
        _clear(self._element)
        self._fill(self._element, nodes)

    def _fill(self, element: Element, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node, Text):
                _write(self._within(element, node.style), node.text)
            elif isinstance(node, Point):
                content, style = node.content
                content.tail = None
                self._within(element, style).append(content)
            else:
                _clear(node.content)
                node.content.tail = None
                self._fill(node.content, node.children)
                element.append(node.content)

    def _within(self, element: Element, style: Style) -> Element:
        """The innermost of new spans of a style, at the end of an element."""
        for span in self._spans.get(style, ()):
            element = etree.SubElement(element, span.tag, dict(span.attrib))
        return element


def _ends(run: Sequence[Node]) -> bool:
    """Whether a sentence ends before a line break: one that a person has wrapped ends none."""
    last = run[-1] if run else None
    return not isinstance(last, Text) or has_end(last.text)


def _range(element: Element) -> str:
    """The range that an element begins or ends: of a change, of a bookmark, of a comment."""
    kind = _RANGE.fullmatch(local_name(element))
    if kind is None:
        return ""
    told = (element.get(f"{{{space}}}{name}") for space, name in _RANGE_NAMES)
    return f"{kind[1]} {next(filter(None, told), '')}"


def _last_style(run: Sequence[Node]) -> Style:
    return next((node.style for node in reversed(run) if isinstance(node, Text)), ())


def _collapsed(text: str | None) -> str:
    """White space as OpenDocument reads it: one space."""
    return _WHITE_SPACE.sub(" ", text or "")


def _count(element: Element) -> int:
    told = element.get(f"{{{_TEXT}}}c") or "1"
    return min(int(told), 1000) if told.isdecimal() else 1


def _clear(element: Element) -> None:
    """Takes all out of an element but its attributes."""
    for child in list(element):
        element.remove(child)
    element.text = None


def _write(element: Element, text: str) -> None:
    """Adds a text at the end of an element; more than one space as OpenDocument writes them."""
    parts = text.split("  ")
    for index, part in enumerate(parts):
        if index:
            etree.SubElement(element, f"{{{_TEXT}}}s").set(f"{{{_TEXT}}}c", "2")
        _append(element, part)


def _append(element: Element, text: str) -> None:
    is_begin = not element.text and next(element.iterchildren(), None) is None
    if text.startswith(" ") and is_begin and local_name(element) in ("p", "h"):
        etree.SubElement(element, f"{{{_TEXT}}}s")
        text = text[1:]
    append_text(element, text)


def _set_language(root: Element, code: str | None) -> None:
    """Says the language of texts in its styles, where there was one."""
    if code is None:
        return
    language, _, rest = language_code(code).partition("-")
    country = rest.rpartition("-")[2]
    for element in root.iter(f"{{{_STYLE}}}text-properties"):
        if element.get(f"{{{_FO}}}language") not in (None, "none", "zxx"):
            element.set(f"{{{_FO}}}language", language)
            element.set(f"{{{_FO}}}country", country if len(country) == 2 else "none")
    for element in root.iter(f"{{{_DC}}}language"):
        element.text = language_code(code)
