"""Workbooks (.xlsx): strings in cells, rich ones included, shapes and charts.

Formulas, numbers and the names of sheets stay. A string stays in all its cells where a formula, a
list of valid values or a filter compares cells with it, and the name of a table's column where a
formula or a pivot table uses it: else sums would change.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence

from lxml import etree

from service.documents.document import Document, DocumentOptions
from service.documents.inline import Node, Point, Text
from service.documents.ooxml import OoxmlPackage
from service.documents.segments import Item, segments
from service.documents.xml_files import Element, XmlFile, local_name, namespace

__all__ = ["read"]

_FORMULAS = {"f", "formula", "formula1", "formula2", "definedName", "calculatedColumnFormula",
             "totalsRowFormula"}  # fmt: skip
_LITERAL = re.compile(r'"((?:[^"]|"")*)"')
_COLUMN = re.compile(r"\[[@#]?([^\[\]]+)\]")
_PRESERVED = "{http://www.w3.org/XML/1998/namespace}space"
_LINE = re.compile(r"\r?\n|[^\r\n]+|\r")


class _String:
    """A shared string, or one of a cell: what is translated of it."""

    def __init__(self, element: Element) -> None:
        self._element = element
        self.source = _said(element)
        is_rich = any(local_name(child) == "r" for child in element)
        properties: dict[str, Element] = {}
        if is_rich:
            _split_lines(element)
        items = list(_items(element, properties))
        self.segments = list(segments(items, _builder(element, properties, is_rich)))

    def put(self, translations: Sequence[str]) -> str:
        """Has the translations of its segments; returns all of its text."""
        for child in list(self._element):
            if local_name(child) in ("rPh", "phoneticPr"):
                self._element.remove(child)
        for segment, translation in zip(self.segments, translations, strict=True):
            segment.put(translation)
        return _said(self._element)


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    package = OoxmlPackage(data, options, "spreadsheetml", "ms-excel")
    used = _Used()
    strings: list[_String] = []
    for _, part in package.parts("main", "spreadsheetml.pivotCacheDefinition"):
        used.look_at(part.root)
    for name, part in package.parts("spreadsheetml.sharedStrings", "spreadsheetml.worksheet"):
        used.look_at(part.root)
        elements = (each for each in part.root.iter() if local_name(each) in ("si", "is"))
        found = [_String(each) for each in options.limits.bounded(elements)]
        if found:
            strings += found
            package.change(name, part)
    tables: list[XmlFile] = []
    for name, part in package.parts("spreadsheetml.table"):
        used.look_at(part.root)
        tables.append(part)
        package.change(name, part)
    strings = [each for each in strings if each.segments and not used.is_used(each.source)]
    drawn = list(package.drawn())
    inner = [segment for string in strings for segment in string.segments]

    def write(translations: Sequence[str]) -> bytes:
        remaining = iter(translations)
        parts = [[next(remaining) for _ in string.segments] for string in strings]
        _put(strings, parts, tables)
        for segment in drawn:
            segment.put(next(remaining))
        return package.written()

    return Document([segment.inline.unit for segment in [*inner, *drawn]], write)


class _Used:
    """What formulas and the like compare cells with, or look columns up by."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def look_at(self, root: Element) -> None:
        """Adds what a part uses."""
        for element in root.iter():
            name = local_name(element)
            if name in _FORMULAS and element.text:
                for literal in _LITERAL.findall(element.text):
                    # A list of valid values is one literal.
                    self._add(literal.replace('""', '"'), *literal.split(","))
                self._add(*_COLUMN.findall(element.text))
            elif name in ("filter", "customFilter", "cacheField"):
                self._add(element.get("val") or element.get("name") or "")

    def _add(self, *values: str) -> None:
        self._values.update(value.strip().casefold() for value in values)

    def is_used(self, value: str) -> bool:
        """Whether something uses a string."""
        return value.strip().casefold() in self._values


def _put(
    strings: Sequence[_String], translations: Sequence[Sequence[str]], tables: Sequence[XmlFile]
) -> None:
    """Has strings translated, and the columns of tables named as the cells above them."""
    columns = [
        [each for each in table.root.iter() if local_name(each) == "tableColumn"]
        for table in tables
    ]
    plain = {
        string.source: said[0]
        for string, said in zip(strings, translations, strict=True)
        if len(said) == 1
    }
    kept = _kept_names([[each.get("name", "") for each in names] for names in columns], plain)
    said = {
        string.source: string.put(parts)
        for string, parts in zip(strings, translations, strict=True)
        if string.source not in kept
    }
    for element in (each for names in columns for each in names):
        if (name := said.get(element.get("name", ""))) is not None:
            element.set("name", name)


def _kept_names(tables: Sequence[Sequence[str]], translations: dict[str, str]) -> set[str]:
    """Names of columns that stay, as two of a table must not have the same one."""
    kept: set[str] = set()
    for names in tables:
        found = [translations.get(name, name).casefold() for name in names]
        if len(set(found)) < len(found):
            kept.update(names)
    return kept


def _said(element: Element) -> str:
    """The text of a string, without what is read aloud."""
    return "".join(
        each.text or ""
        for each in element.iter()
        if local_name(each) == "t" and local_name(each.getparent()) != "rPh"
    )


def _text(run: Element) -> Element | None:
    return next((each for each in run if local_name(each) == "t"), None)


def _split_lines(element: Element) -> None:
    """Has each run with one line, or a line break."""
    for run in [each for each in element if local_name(each) == "r"]:
        text = _text(run)
        lines = [] if text is None else _LINE.findall(text.text or "")
        if text is None or len(lines) < 2:
            continue
        last = run
        for line in lines[1:]:
            further = copy.deepcopy(run)
            _set_text(_text(further), line)
            last.addnext(further)
            last = further
        _set_text(text, lines[0])


def _set_text(element: Element, text: str) -> None:
    element.text = text
    element.set(_PRESERVED, "preserve")


def _items(string: Element, properties: dict[str, Element]) -> Iterator[Item]:
    for element in string:
        name = local_name(element)
        if name == "t":
            yield Item([element], Text(element.text or "", ""))
        elif name == "r":
            text = _text(element)
            said = "" if text is None else text.text or ""
            if said in ("\n", "\r\n", "\r"):
                yield Item([element], Point(element), is_break=True)
            else:
                yield Item([element], Text(said, _style(element, properties)))
        else:
            yield Item([element], None)


def _style(run: Element, properties: dict[str, Element]) -> str:
    found = next((each for each in run if local_name(each) == "rPr"), None)
    if found is None:
        return ""
    style: str = etree.tostring(found, method="c14n", exclusive=True, with_tail=False).decode()
    properties.setdefault(style, found)
    return style


def _builder(
    string: Element, properties: dict[str, Element], is_rich: bool
) -> Callable[[Node], list[Element]]:
    space = f"{{{namespace(string)}}}" if namespace(string) else ""

    def built(node: Node) -> list[Element]:
        if not isinstance(node, Text):
            return [node.content]
        text = etree.Element(f"{space}t", nsmap=string.nsmap)
        _set_text(text, node.text)
        if not is_rich:
            return [text]
        run = etree.Element(f"{space}r", nsmap=string.nsmap)
        if (own := properties.get(str(node.style))) is not None:
            run.append(copy.deepcopy(own))
        run.append(text)
        return [run]

    return built
