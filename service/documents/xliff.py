"""XLIFF 1.2 and 2.0 (.xliff, .xlf): sources into targets, with inline codes.

What has a target is left as it is, unless it is asked for; so is what must not be translated.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from service.documents.document import Document, DocumentOptions
from service.documents.errors import DamagedDocumentError
from service.documents.inline import Group, InlineUnit, Node, Point, Text, says_words
from service.documents.strings import language_code
from service.documents.xml_files import Element, XmlFile, append_text, local_name, namespace

__all__ = ["read"]

_GROUPS = {"g", "mrk", "pc"}
_OPENING = {"bpt": "ept", "bx": "ex", "sc": "ec", "sm": "em"}
_UNTRANSLATED = {"", "initial", "new", "needs-translation"}
"""States of targets that are no translations."""


@dataclass(slots=True)
class _Message:
    """A source, and where its target is."""

    source: Element
    target: Element | None
    unit: InlineUnit


def read(data: bytes, options: DocumentOptions) -> Document:
    """See `DocumentFormat.read`."""
    file = XmlFile(data, options.limits)
    root = file.root
    if local_name(root) != "xliff":
        raise DamagedDocumentError("the document must be XLIFF, but is not")
    is_new = (root.get("version") or "1").startswith("2")
    find = _segments if is_new else _trans_units
    messages = [
        _Message(source, target, InlineUnit(nodes))
        for source, target in find(root)
        if _is_wanted(target, options)
        if says_words(nodes := list(_nodes(source)))
    ]

    def write(translations: Sequence[str]) -> bytes:
        for message, translation in zip(messages, translations, strict=True):
            _put(message, translation, is_new)
        _set_language(root, options.target, is_new)
        return file.written()

    return Document([message.unit.unit for message in messages], write)


def _trans_units(root: Element) -> Iterator[tuple[Element, Element | None]]:
    """Version 1.2. A source that is cut into sentences counts as these."""
    for unit in _named(root, "trans-unit"):
        source = _child(unit, "seg-source")
        source = _child(unit, "source") if source is None else source
        if source is not None and not _is_kept(unit) and unit.get("approved") != "yes":
            yield source, _child(unit, "target")


def _segments(root: Element) -> Iterator[tuple[Element, Element | None]]:
    """Version 2.0."""
    for segment in _named(root, "segment"):
        source = _child(segment, "source")
        if source is not None and not _is_kept(segment):
            yield source, _child(segment, "target")


def _named(root: Element, name: str) -> list[Element]:
    return [each for each in root.iter() if local_name(each) == name]


def _child(element: Element, name: str) -> Element | None:
    return next((each for each in element if local_name(each) == name), None)


def _is_kept(element: Element | None) -> bool:
    """Whether an element, or the nearest around it that tells, must not be translated."""
    while element is not None:
        if told := element.get("translate"):
            return bool(told == "no")
        element = element.getparent()
    return False


def _is_wanted(target: Element | None, options: DocumentOptions) -> bool:
    if target is None or options.retranslate:
        return True
    state = target.get("state") or target.getparent().get("state") or ""
    has_text = bool("".join(target.itertext()).strip())
    return not has_text or state in _UNTRANSLATED - {""}


def _nodes(element: Element) -> Iterator[Node]:
    """The content of a source. Codes that open and close are a group, if both are beside each
    other."""
    yield Text(element.text or "")
    children = list(element)
    place = 0
    while place < len(children):
        child = children[place]
        close = _closing(children, place)
        if close is not None:
            inner: list[Node] = [Text(child.tail or "")]
            for each in children[place + 1 : close]:
                inner += _single(each)
                inner.append(Text(each.tail or ""))
            yield Group((child, children[close]), inner)
            place = close
        else:
            yield from _single(child)
        yield Text(children[place].tail or "")
        place += 1


def _single(element: Element) -> Iterator[Node]:
    if local_name(element) in _GROUPS and element.get("translate") != "no":
        yield Group(element, list(_nodes(element)))
    else:
        yield Point(element)


def _closing(children: Sequence[Element], place: int) -> int | None:
    """Where the code is that closes one, with no other code that opens or closes between."""
    closing = _OPENING.get(local_name(children[place]))
    if closing is None:
        return None
    codes = {*_OPENING, *_OPENING.values()}
    for index in range(place + 1, len(children)):
        name = local_name(children[index])
        if name in codes:
            return index if name == closing else None
    return None


def _put(message: _Message, translation: str, is_new: bool) -> None:
    source, target = message.source, message.target
    nodes = message.unit.nodes(translation)
    space = f"{{{namespace(source)}}}" if namespace(source) else ""
    if target is None:
        target = etree.Element(f"{space}target", nsmap=source.nsmap)
        last = _last_source(source)
        tail = last.tail
        last.addnext(target)  # takes the tail along
        indent = source.getparent().text or ""
        last.tail, target.tail = "" if indent.strip() else indent, tail
    for child in list(target):
        target.remove(child)
    target.text = None
    _fill(target, nodes)
    if is_new:
        target.getparent().set("state", "translated")
        target.getparent().attrib.pop("subState", None)
    else:
        target.set("state", "translated")
        target.attrib.pop("state-qualifier", None)


def _last_source(source: Element) -> Element:
    """The element behind which a target comes."""
    following = source.getnext()
    while following is not None and local_name(following) == "seg-source":
        source, following = following, following.getnext()
    return source


def _fill(element: Element, nodes: Sequence[Node]) -> None:
    """Adds nodes at the end of an element; those of the source are copied."""
    for node in nodes:
        if isinstance(node, Text):
            append_text(element, node.text)
        elif isinstance(node, Point):
            element.append(_copied(node.content))
        elif isinstance(node.content, tuple):
            element.append(_copied(node.content[0]))
            _fill(element, node.children)
            element.append(_copied(node.content[1]))
        else:
            group = etree.SubElement(element, node.content.tag, dict(node.content.attrib))
            _fill(group, node.children)


def _copied(element: Element) -> Element:
    copied = copy.deepcopy(element)
    copied.tail = None
    return copied


def _set_language(root: Element, code: str | None, is_new: bool) -> None:
    if code is None:
        return
    if is_new:
        root.set("trgLang", language_code(code))
        return
    for file in _named(root, "file"):
        file.set("target-language", language_code(code))
