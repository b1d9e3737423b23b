"""A block's translation with its inline elements: each around the words that say what its own do.

An element encloses one range of the translation. It lies within that of the element around it, and
no two beside each other overlap: the tree of elements is that of the source, in the order in which
their words stand now. What has no words stands where its neighbours' words do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from model.text.markup.block import Block, Document, Inline
from model.text.markup.markdown_structure import markdown_structure
from model.text.markup.places import Placing
from model.text.markup.spelling import spelled
from model.text.markup.words import AlignedSpan, AlignedWords, Words

__all__ = ["AlignedSpan", "Translated", "render", "render_block"]


class Translated(NamedTuple):
    """The translation of a block's text."""

    text: str
    alignment: Sequence[AlignedSpan] = ()


class _Placed(NamedTuple):
    """An inline element and its range of the translation."""

    begin: int
    end: int
    inline: Inline
    children: tuple[_Placed, ...] = ()


def render(document: Document, translations: Iterable[Translated]) -> str:
    """The document with the translations of its blocks, one for each."""
    remaining = iter(translations)
    return "".join(
        part if isinstance(part, str) else render_block(part, next(remaining))
        for part in document.parts
    )


def render_block(block: Block, translated: Translated) -> str:
    """The source of the block's translation.

    Whether marks of Markdown are marks depends on what they stand beside: where the translation
    would have others than the source even with all signs of its text escaped, the source stays.
    """
    if block.syntax != "markdown":
        return _rendered(block, translated)
    if translated.text == block.text:
        return block.source
    words = Words(block.text)
    spans = zip(words.begins, words.ends, strict=True)
    unchanged = Translated(block.text, [AlignedSpan(*span, *span) for span in spans])
    wanted = markdown_structure(_rendered(_without_soft_breaks(block), unchanged))
    for way in (block, replace(block, spellings={})):
        if markdown_structure(_rendered(_without_soft_breaks(way), translated)) == wanted:
            return _rendered(way, translated)
    return block.source


def _without_soft_breaks(block: Block) -> Block:
    spaces = {
        place: spelled.split("\n")[0] + "\n"
        for place, spelled in block.spaces.items()
        if block.text[place : place + 1] == "\n"
    }
    return replace(block, spaces=spaces)


def _rendered(block: Block, translated: Translated) -> str:
    source, target = block.text + block.behind, translated.text + block.behind
    cuts = sorted(_edges(block.inlines))
    words = AlignedWords(source, target, translated.alignment, cuts)
    placing = Placing(source, target, words, translated.alignment)
    placed = _placed(placing, block.inlines, (0, len(source)), (0, len(target)))
    edges = frozenset(_places(placed))
    written = spelled(target, block.spellings, syntax=block.syntax, cuts=edges)
    for begin, end in _copies_elsewhere(placed, placing):
        written[begin:end] = [""] * (end - begin)
    for place, spaces in placing.spaces(block.spaces).items():
        # In Markdown, a line that begins with another sign may be a block of its own.
        begins_line = "\n" in spaces and target[place] != "\n" and place + 1 not in edges
        if block.syntax != "markdown" or not begins_line or target[place + 1 : place + 2].isalpha():
            written[place] = spaces
    return block.before + "".join(_written(placed, 0, len(target), written))


def _placed(
    placing: Placing, inlines: Sequence[Inline], outer: tuple[int, int], room: tuple[int, int]
) -> tuple[_Placed, ...]:
    """The inline elements in the order of the translation, of those in one element.

    Args:
        outer: the range of the source that the element around them has.
        room: the range of the translation that it has.
    """
    covers = [placing.cover(inline, outer, room) for inline in inlines]
    placed: list[_Placed] = []
    cursor = room[0]
    for index in sorted(range(len(covers)), key=lambda index: (covers[index][0], index)):
        inline = inlines[index]
        begin = max(covers[index][0], cursor)
        end = cursor = max(covers[index][1], begin)
        children = _placed(placing, inline.children, (inline.begin, inline.end), (begin, end))
        placed.append(_Placed(begin, end, inline, children))
    return tuple(placed)


def _copies_elsewhere(placed: Iterable[_Placed], placing: Placing) -> Iterable[tuple[int, int]]:
    """Where verbatim texts are in the translation whose elements had to stay somewhere else."""
    for each in placed:
        if each.inline.verbatim:
            copy = placing.copy_of(each.inline.begin, each.inline.end)
            if copy is not None and copy != (each.begin, each.end):
                yield copy
        yield from _copies_elsewhere(each.children, placing)


def _edges(inlines: Iterable[Inline]) -> Iterable[int]:
    for inline in inlines:
        yield inline.begin
        yield inline.end
        yield from _edges(inline.children)


def _places(placed: Iterable[_Placed]) -> Iterable[int]:
    for each in placed:
        yield each.begin
        yield each.end
        yield from _places(each.children)


def _written(
    placed: Sequence[_Placed], begin: int, end: int, written: Sequence[str]
) -> Iterable[str]:
    for each in placed:
        yield from written[begin : each.begin]
        yield each.inline.opening
        if not each.inline.verbatim:
            yield from _written(each.children, each.begin, each.end, written)
        yield each.inline.closing
        begin = each.end
    yield from written[begin:end]
