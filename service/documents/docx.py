"""Word documents (.docx): body, tables, headers, footers, notes, text boxes, charts, diagrams.

Of tracked changes insertions are translated, deletions stay. Comments stay, and so do fields, but
for links and the entries of a table of contents.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from service.documents.document import Document, DocumentOptions
from service.documents.inline import Group, Node, Point, Text
from service.documents.ooxml import OoxmlPackage
from service.documents.segments import Item, Segment, segments
from service.documents.strings import language_code
from service.documents.xml_files import Element, local_name, namespace

__all__ = ["read"]

_NAMESPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_TEXTS = ("document.main", "template.main", "document.macroEnabledTemplate.main",
          "document.macroEnabled.main", "wordprocessingml.header", "wordprocessingml.footer",
          "wordprocessingml.footnotes", "wordprocessingml.endnotes")  # fmt: skip
_CONTAINERS = {"bdo", "customXml", "dir", "hyperlink", "ins", "moveTo", "sdt", "sdtContent",
               "smartTag"}  # fmt: skip
_DROPPED = {"lastRenderedPageBreak", "proofErr", "softHyphen"}
_CHOICES = {"comboBox", "date", "dropDownList", "checkbox", "picture"}
"""Content controls whose text is chosen, not written."""
_TEXT_OF = {"noBreakHyphen": "\u2011"}
_TRANSPARENT_FIELDS = ("TOC", "HYPERLINK")
_MOST_FIELDS = 50
"""Fields within each other that are told apart."""
_RANGE = re.compile("(.*)(?:Start|End)")
_PRESERVED = "{http://www.w3.org/XML/1998/namespace}space"
_NOT_SEEN = {"lang", "noProof"}
"""Properties of a run that change nothing that people see."""


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    package = OoxmlPackage(data, options, "wordprocessingml", "ms-word")
    found: list[Segment] = []
    for name, part in package.parts(*_TEXTS, "wordprocessingml.styles"):
        found += options.limits.bounded(_Story(part.root).segments())
        _set_language(part.root, options.target)
        package.change(name, part)
    return package.document([*found, *package.drawn()])


def _name(element: Element) -> str:
    """The name of an element of WordprocessingML; empty for others."""
    return local_name(element) if namespace(element) in _NAMESPACES else ""


def _attribute(element: Element, name: str) -> str:
    return element.get(f"{{{namespace(element)}}}{name}") or ""


def _set_language(root: Element, code: str | None) -> None:
    for element in root.iter() if code else ():
        if _name(element) == "lang" and _attribute(element, "val"):
            element.set(f"{{{namespace(element)}}}val", language_code(code or ""))


@dataclass(slots=True)
class _Field:
    """A field that has begun, and whether its result is translated."""

    instruction: str = ""
    has_result: bool = False
    is_long: bool = False
    """Whether its result has several paragraphs."""

    @property
    def is_kept(self) -> bool:
        words = self.instruction.split(maxsplit=1)
        is_transparent = self.is_long or (bool(words) and words[0].upper() in _TRANSPARENT_FIELDS)
        return not self.has_result or not is_transparent


class _Story:
    """The text of a part, paragraph by paragraph."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._fields: list[_Field] = []
        self._properties: dict[str, Element] = {}
        """By style: the properties of a run that has it."""

    def segments(self) -> Iterator[Segment]:
        """What is translated of it, in order."""
        for paragraph in [each for each in self._root.iter() if _name(each) == "p"]:
            _split_runs(paragraph)
            yield from self._segments(paragraph)
            for field in self._fields:
                field.is_long = field.has_result = True

    def _segments(self, container: Element) -> Iterator[Segment]:
        inner: list[Segment] = []
        items = _with_links(list(self._items(container, inner)))
        yield from segments(items, self._built)
        yield from inner

    def _items(self, container: Element, inner: list[Segment]) -> Iterator[Item]:
        """The children of a container; `inner` gets what is translated within those that a sentence
        does not go through."""
        for element in container:
            name = _name(element)
            if name == "r":
                yield self._run(element)
            elif name in _CONTAINERS and not _is_chosen(element):
                content = _content(element)
                within: list[Segment] = []
                items = _with_links(list(self._items(content, within)))
                if within or any(item.node is None or item.is_break for item in items):
                    inner += [*segments(items, self._built), *within]
                    yield Item([element], None)
                else:
                    nodes = [item.node for item in items if item.node is not None]
                    yield Item([element], Group(element, nodes))
            elif name == "pPr":
                yield Item([element], None)
            elif name.endswith("Pr"):
                continue
            else:
                yield Item([element], Point([element], _range(element)))

    def _run(self, run: Element) -> Item:
        content = next((each for each in run if _name(each) != "rPr"), None)
        if content is None:
            return Item([run], Point([run]))
        name = _name(content)
        if name == "fldChar":
            return self._field_mark(run, _attribute(content, "fldCharType"))
        if name == "instrText" and self._fields:
            self._fields[-1].instruction += content.text or ""
            return Item([run], Point([run]))
        if any(field.is_kept for field in self._fields):
            return Item([run], Point([run]))
        if name == "t" or name in _TEXT_OF:
            text = _TEXT_OF.get(name) or content.text or ""
            return Item([run], Text(text, self._style(run)))
        if name in ("br", "cr"):
            is_line = _attribute(content, "type") in ("", "textWrapping")
            return Item([run], Point([run]) if is_line else None, is_break=is_line)
        return Item([run], None if name in ("tab", "ptab") else Point([run]))

    def _field_mark(self, run: Element, kind: str) -> Item:
        if kind == "begin" and len(self._fields) < _MOST_FIELDS:
            self._fields.append(_Field())
        elif self._fields and kind == "separate":
            self._fields[-1].has_result = True
        elif self._fields and kind == "end":
            self._fields.pop()
        return Item([run], Point([run]))

    def _style(self, run: Element) -> str:
        properties = next((each for each in run if _name(each) == "rPr"), None)
        if properties is None:
            return ""
        seen = copy.deepcopy(properties)
        for element in list(seen):
            if _name(element) in _NOT_SEEN:
                seen.remove(element)
        style = etree.tostring(seen, method="c14n", exclusive=True).decode() if len(seen) else ""
        if style:
            self._properties.setdefault(style, properties)
        return style

    def _built(self, node: Node) -> list[Element]:
        if isinstance(node, Text):
            return [self._text_run(node)]
        if isinstance(node, Point):
            return list(node.content)
        children = [element for child in node.children for element in self._built(child)]
        if isinstance(node.content, tuple):
            begin, end = node.content
            return [*begin, *children, *end]
        content = _content(node.content)
        for element in list(content):
            if not _name(element).endswith("Pr"):
                content.remove(element)
        content.extend(children)
        return [node.content]

    def _text_run(self, node: Text) -> Element:
        space = namespace(self._root)
        run = etree.Element(f"{{{space}}}r", nsmap=self._root.nsmap)
        if (properties := self._properties.get(str(node.style))) is not None:
            run.append(copy.deepcopy(properties))
        text = etree.SubElement(run, f"{{{space}}}t")
        text.text = node.text
        text.set(_PRESERVED, "preserve")
        return run


def _range(element: Element) -> str:
    """The range that an element begins or ends: of a bookmark, of a comment."""
    kind = _RANGE.fullmatch(_name(element))
    return f"{kind[1]} {_attribute(element, 'id')}" if kind else ""


def _content(container: Element) -> Element:
    """Where the children of a container are."""
    return next((each for each in container if _name(each) == "sdtContent"), container)


def _is_chosen(container: Element) -> bool:
    properties = next((each for each in container if _name(each) == "sdtPr"), None)
    return properties is not None and any(local_name(each) in _CHOICES for each in properties)


def _with_links(items: list[Item]) -> list[Item]:
    """Items in which a field whose result is translated is one, if all of it is among them.

    What of a field has no such place is where a sentence ends.
    """
    found: list[Item] = []
    begun: list[int] = []
    for item in items:
        kind = _mark(item)
        if kind == "end" and begun:
            begin = begun.pop()
            grouped = _link([*found[begin:], item])
            found[begin:] = grouped
            continue
        if kind == "begin":
            begun.append(len(found))
        found.append(item)
    return [Item(item.elements, None) if _mark(item) else item for item in found]


def _mark(item: Item) -> str:
    """What an item is of a field that is no group: `begin`, `separate`, `end`."""
    if len(item.elements) != 1 or _name(item.elements[0]) != "r":
        return ""
    content = next((each for each in item.elements[0] if _name(each) == "fldChar"), None)
    return "" if content is None else _attribute(content, "fldCharType")


def _link(items: list[Item]) -> list[Item]:
    """A whole field as one item: a group, if something of its result is translated."""
    elements = [element for item in items for element in item.elements]
    separate = next((place for place, item in enumerate(items) if _mark(item) == "separate"), None)
    if separate is None or not any(
        isinstance(item.node, Text | Group) for item in items[separate:]
    ):
        return [Item(elements, Point(elements))]
    if any(item.node is None or item.is_break for item in items):
        return [
            Item(item.elements, None) if place <= separate or item is items[-1] else item
            for place, item in enumerate(items)
        ]
    begin = [element for item in items[: separate + 1] for element in item.elements]
    nodes = [item.node for item in items[separate + 1 : -1] if item.node is not None]
    return [Item(elements, Group((begin, items[-1].elements), nodes))]


def _split_runs(container: Element) -> None:
    """Has each run with one text, or one thing of another kind; what is not seen is dropped."""
    for element in list(container):
        name = _name(element)
        if name == "proofErr":
            container.remove(element)
        elif name == "r":
            _split_run(element)
        elif name in _CONTAINERS:
            _split_runs(element)
    _merge_insertions(container)


def _split_run(run: Element) -> None:
    properties = next((each for each in run if _name(each) == "rPr"), None)
    contents = [each for each in run if each is not properties]
    kept = [each for each in contents if _name(each) not in _DROPPED]
    for each in contents:
        run.remove(each)
    if kept:
        run.append(kept[0])
    last = run
    for each in kept[1:]:
        further = etree.Element(run.tag, dict(run.attrib), nsmap=run.nsmap)
        if properties is not None:
            further.append(copy.deepcopy(properties))
        further.append(each)
        last.addnext(further)
        last = further
    if contents and not kept:
        run.getparent().remove(run)


def _merge_insertions(container: Element) -> None:
    """Insertions beside each other of one author as one."""
    last: Element | None = None
    for element in list(container):
        is_same = (
            last is not None
            and _name(element) == "ins" == _name(last)
            and _attribute(element, "author") == _attribute(last, "author")
        )
        if last is not None and is_same:
            last.extend(list(element))
            container.remove(element)
        else:
            last = element
