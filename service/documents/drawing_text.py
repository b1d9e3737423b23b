"""Paragraphs of DrawingML: slides, shapes, charts, diagrams."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from lxml import etree

from service.documents.inline import Node, Point, Text
from service.documents.segments import Item, Segment, segments
from service.documents.xml_files import Element, local_name, namespace

__all__ = ["drawing_segments"]

_NAMESPACES = (
    "http://schemas.openxmlformats.org/drawingml/2006/main",
    "http://purl.oclc.org/ooxml/drawingml/main",
)
_NOT_SEEN = ("altLang", "bmk", "dirty", "err", "lang", "noProof", "smtClean", "smtId")
"""Attributes of a run's properties that change nothing that people see."""


def drawing_segments(root: Element) -> Iterator[Segment]:
    """What is translated of a part, in order. Fields, such as a slide's number, stay."""
    for paragraph in [each for each in root.iter() if _name(each) == "p"]:
        properties: dict[str, Element] = {}
        yield from segments(_items(paragraph, properties), _builder(paragraph, properties))


def _name(element: Element) -> str:
    return local_name(element) if namespace(element) in _NAMESPACES else ""


def _items(paragraph: Element, properties: dict[str, Element]) -> Iterator[Item]:
    for element in paragraph:
        name = _name(element)
        if name == "r":
            text = next((each for each in element if _name(each) == "t"), None)
            said = "" if text is None else text.text or ""
            yield Item([element], Text(said, _style(element, properties)))
        elif name in ("pPr", "endParaRPr"):
            yield Item([element], None)
        else:
            yield Item([element], Point(element), is_break=name == "br")


def _style(run: Element, properties: dict[str, Element]) -> str:
    found = next((each for each in run if _name(each) == "rPr"), None)
    if found is None:
        return ""
    seen = copy.deepcopy(found)
    for name in _NOT_SEEN:
        seen.attrib.pop(name, None)
    style = (
        etree.tostring(seen, method="c14n", exclusive=True).decode()
        if len(seen) or seen.attrib
        else ""
    )
    properties.setdefault(style, found)
    return style


def _builder(paragraph: Element, properties: dict[str, Element]) -> Callable[[Node], list[Element]]:
    space = namespace(paragraph)

    def built(node: Node) -> list[Element]:
        if not isinstance(node, Text):
            return [node.content]
        run = etree.Element(f"{{{space}}}r", nsmap=paragraph.nsmap)
        if (own := properties.get(str(node.style))) is not None:
            run.append(copy.deepcopy(own))
        etree.SubElement(run, f"{{{space}}}t").text = node.text
        return [run]

    return built
