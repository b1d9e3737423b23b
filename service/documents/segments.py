"""Elements beside each other in a paragraph of Office Open XML, as what is translated as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.documents.inline import InlineUnit, Node, Style, Text, says_words
from service.documents.xml_files import Element

__all__ = ["Item", "Segment", "segments"]

_ENDS_SENTENCE = re.compile(r"[.!?:;\u2026\u3002\uff01\uff1f][\s\"'\u201d\u2019\u00bb)\]]*$")


@dataclass(slots=True)
class Item:
    """Elements that are a node; or none, where a sentence ends."""

    elements: list[Element]
    """Beside each other, in order."""
    node: Node | None
    is_break: bool = False
    """Whether the node is a line break."""


class Segment:
    """Elements of a container that are translated as one.

    Args:
        items: with words, and all with nodes.
        build: elements for nodes.
    """

    def __init__(self, items: Sequence[Item], build: Callable[[Node], list[Element]]) -> None:
        self._elements = [element for item in items for element in item.elements]
        self._build = build
        self.inline = InlineUnit([item.node for item in items if item.node is not None])

    def put(self, translation: str) -> None:
        """Has the translation in the place of the elements."""
        parent = self._elements[0].getparent()
        last = self._elements[0].getprevious()
        for element in self._elements:
            parent.remove(element)
        for node in self.inline.nodes(translation):
            for element in self._build(node):
                if last is None:
                    parent.insert(0, element)
                else:
                    last.addnext(element)
                last = element


def segments(items: Iterable[Item], build: Callable[[Node], list[Element]]) -> Iterator[Segment]:
    """What of a container's items is translated, in parts that end where sentences must."""
    run: list[Item] = []
    found = list(items)
    for place, item in enumerate(found):
        ends = item.node is None or (item.is_break and not _goes_on(found, place))
        if not ends:
            # Nothing but the break may stand between two words.
            run += [Item([], Text(" ", _style(run))), item] if item.is_break else [item]
            continue
        yield from _segment(run, build)
        run = []
    yield from _segment(run, build)


def _segment(run: list[Item], build: Callable[[Node], list[Element]]) -> Iterator[Segment]:
    if says_words(item.node for item in run if item.node is not None):
        yield Segment(run, build)


def _style(run: Sequence[Item]) -> Style:
    last = run[-1].node if run else None
    return last.style if isinstance(last, Text) else ""


def _goes_on(items: Sequence[Item], place: int) -> bool:
    """Whether a sentence goes on behind a line break: one that a person has wrapped."""
    before = items[place - 1].node if place else None
    behind = items[place + 1].node if place + 1 < len(items) else None
    return (
        isinstance(before, Text)
        and isinstance(behind, Text)
        and has_end(before.text) is False
        and behind.text.lstrip()[:1].islower()
    )


def has_end(text: str) -> bool:
    """Whether a sentence ends with a text."""
    return _ENDS_SENTENCE.search(text) is not None
