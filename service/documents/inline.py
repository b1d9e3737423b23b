"""Text with inline formatting as one unit, and its translation as text with that formatting.

A format's own markup becomes nodes: texts with a style, points that have no text, and groups, which
are elements around others. In the unit, `<g id="2">` stands around texts of another style than most
have, or is a group, and `<x id="3"/>` is a point. The translator moves them with their words.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

from lxml import etree

from model.text_options import TextFormat
from service.documents.document import Unit
from service.documents.errors import DamagedDocumentError
from service.documents.strings import has_words, trimmed, xml_characters

__all__ = ["Group", "InlineUnit", "Node", "Point", "Style", "Text", "says_words"]


Style: TypeAlias = str | tuple[str, ...]
"""What a text looks like; the shorter, the plainer."""


@dataclass(slots=True)
class Text:
    """Characters of one style; texts of equal style beside each other are one."""

    text: str
    style: Style = ""


@dataclass(slots=True)
class Point:
    """What stands between words and is kept."""

    content: Any
    mark: str = ""
    """What it begins or ends with another point of the same mark: the order of both is kept."""


@dataclass(slots=True)
class Group:
    """An element around others, such as a link."""

    content: Any
    children: list[Node]


Node: TypeAlias = Text | Point | Group


class InlineUnit:
    """A unit of nodes.

    Args:
        nodes: in order, with words.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._before, core, self._behind = _parted(_merged(nodes))
        self._parts: list[Any] = []
        """By id: the style of a text, a point, or a group with the style of its own texts."""
        written, self._style = self._spelled(core)
        if self._parts:
            self.unit = Unit(written, TextFormat.XML)
        else:
            self.unit = Unit("".join(node.text for node in core if isinstance(node, Text)))

    def _spelled(self, nodes: Sequence[Node]) -> tuple[str, Style]:
        """Nodes as XML, and the style of texts without a tag."""
        sizes: Counter[Style] = Counter()
        for node in nodes:
            if isinstance(node, Text):
                sizes[node.style] += sum(map(str.isalnum, node.text))
        style = max(sizes, key=lambda each: (sizes[each], -len(each)), default="")
        parts: list[str] = []
        for node in nodes:
            if isinstance(node, Text):
                parts.append(self._tagged(node, style))
                continue
            number = len(self._parts)
            self._parts.append(node)
            if isinstance(node, Point):
                parts.append(f'<x id="{number}"/>')
            else:
                inner, own = self._spelled(node.children)
                self._parts[number] = (node, own)
                parts.append(f'<g id="{number}">{inner}</g>')
        return "".join(parts), style

    def _tagged(self, node: Text, style: Style) -> str:
        before, core, behind = trimmed(node.text)
        if node.style == style or not core:
            return escape(xml_characters(node.text))
        self._parts.append(node)
        return f'{before}<g id="{len(self._parts) - 1}">{escape(xml_characters(core))}</g>{behind}'

    def nodes(self, translation: str) -> list[Node]:
        """The translation as nodes. Points that it lacks come last.

        Raises:
            DamagedDocumentError: it is not as well-formed as the unit.
        """
        if self._parts:
            core = self._read(translation)
        else:
            core = [Text(xml_characters(translation), self._style)]
        return _merged([*self._before, *core, *self._behind])

    def _read(self, translation: str) -> list[Node]:
        try:
            root = etree.fromstring(f"<r>{xml_characters(translation)}</r>")
        except etree.XMLSyntaxError as error:
            raise DamagedDocumentError("a translation must be XML as its text, but is not") from (
                error
            )
        missing = {number for number, part in enumerate(self._parts) if isinstance(part, Point)}
        nodes = self._children(root, self._style, missing)
        nodes += (self._parts[number] for number in sorted(missing))
        _put_in_order(nodes, [part for part in self._parts if isinstance(part, Point)])
        return nodes

    def _children(self, element: Any, style: Style, missing: set[int]) -> list[Node]:
        nodes: list[Node] = [Text(element.text or "", style)]
        for child in element:
            number = int(child.get("id", "-1"))
            part = self._parts[number] if 0 <= number < len(self._parts) else None
            if isinstance(part, Point):
                if number in missing:
                    nodes.append(replace(part))
                missing.discard(number)
            elif isinstance(part, Text):
                nodes += self._children(child, part.style, missing)
            elif part is not None:
                group, own = part
                nodes.append(Group(group.content, self._children(child, own, missing)))
            else:
                nodes += self._children(child, style, missing)
            nodes.append(Text(child.tail or "", style))
        return nodes


def _put_in_order(nodes: Sequence[Node], points: Sequence[Point]) -> None:
    """Has points of one mark in the order that they had in the source."""
    contents: defaultdict[str, deque[Any]] = defaultdict(deque)
    for point in points:
        contents[point.mark].append(point.content)
    for place in _points(nodes) if len(contents) > 1 or "" not in contents else ():
        if place.mark and contents[place.mark]:
            place.content = contents[place.mark].popleft()


def _points(nodes: Iterable[Node]) -> Iterator[Point]:
    for node in nodes:
        if isinstance(node, Point):
            yield node
        elif isinstance(node, Group):
            yield from _points(node.children)


def _merged(nodes: Iterable[Node]) -> list[Node]:
    """Without empty texts, and texts of one style as one."""
    merged: list[Node] = []
    for node in nodes:
        last = merged[-1] if merged else None
        if isinstance(node, Text) and isinstance(last, Text):
            before = merged[-2] if len(merged) > 1 else None
            if node.style == last.style:
                merged[-1] = Text(last.text + node.text, last.style)
            elif isinstance(before, Text) and before.style == node.style and last.text == " ":
                # The space between two bold words, which is not bold itself.
                merged[-2:] = [Text(f"{before.text} {node.text}", node.style)]
            elif node.text:
                merged.append(node)
        elif isinstance(node, Group):
            merged.append(Group(node.content, _merged(node.children)))
        elif not isinstance(node, Text) or node.text:
            merged.append(node)
    return merged


def _parted(nodes: Sequence[Node]) -> tuple[list[Node], list[Node], list[Node]]:
    """What comes before the first word's node, up to the last one's, and what comes behind."""
    said = [place for place, node in enumerate(nodes) if _says(node)]
    first, last = said[0], said[-1]
    before, core, behind = (
        list(nodes[:first]),
        list(nodes[first : last + 1]),
        list(nodes[last + 1 :]),
    )
    if isinstance(node := core[0], Text):
        space = node.text[: len(node.text) - len(node.text.lstrip())]
        before.append(Text(space, node.style))
        core[0] = Text(node.text[len(space) :], node.style)
    if isinstance(node := core[-1], Text):
        kept = node.text.rstrip()
        behind.insert(0, Text(node.text[len(kept) :], node.style))
        core[-1] = Text(kept, node.style)
    return before, core, behind


def _says(node: Node) -> bool:
    """Whether there is more than white space."""
    if isinstance(node, Text):
        return bool(node.text.strip())
    return isinstance(node, Group) and any(map(_says, node.children))


def says_words(nodes: Iterable[Node]) -> bool:
    """Whether there is something to translate."""
    return any(
        has_words(node.text)
        if isinstance(node, Text)
        else isinstance(node, Group) and says_words(node.children)
        for node in nodes
    )
