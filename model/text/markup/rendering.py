"""A block's translation with its inline elements: each around the words that say what its own do.

An element encloses one range of the translation. It lies within that of the element around it, and
no two beside each other overlap: the tree of elements is that of the source, in the order in which
their words stand now. What has no words stands where its neighbours' words do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from model.text.markup.block import Block, Document, Inline
from model.text.markup.markdown_structure import markdown_structure
from model.text.markup.places import Placing
from model.text.markup.spelling import spelled
from model.text.word_links import WordLink, kept_words, moved

__all__ = ["Rendered", "Translated", "render", "render_block"]


class Translated(NamedTuple):
    """The translation of a block's text."""

    text: str
    links: Sequence[WordLink] = ()


class Rendered(NamedTuple):
    """A part of a document's translation, as it is written."""

    text: str
    links: Sequence[WordLink]
    """The words of the document's source with those of `text`."""


class _Placed(NamedTuple):
    """An inline element and its range of the translation."""

    begin: int
    end: int
    inline: Inline
    children: tuple[_Placed, ...] = ()


def render(document: Document, translations: Iterable[Translated]) -> Iterator[Rendered]:
    """The document with the translations of its blocks, one for each, part by part.

    A block whose text stays as it is stays as it was written.
    """
    remaining = iter(translations)
    at = 0
    for part in document.parts:
        if isinstance(part, str):
            rendered = Rendered(part, ())
        else:
            translated = next(remaining)
            rendered = render_block(part, translated)
            if translated.text == part.text and rendered.text != part.source:
                rendered = Rendered(part.source, ())
        yield Rendered(rendered.text, moved(rendered.links, 0, at))
        at += len(rendered.text)


def render_block(block: Block, translated: Translated) -> Rendered:
    """The source of the block's translation.

    Whether marks of Markdown are marks depends on what they stand beside: where the translation
    would have others than the source even with all signs of its text escaped, the source stays.
    """
    if block.syntax != "markdown":
        return _rendered(block, translated)
    unchanged = Translated(block.text, list(kept_words(block.text)))
    if translated.text != block.text:
        wanted = markdown_structure(_rendered(_without_soft_breaks(block), unchanged).text)
        for way in (block, replace(block, spellings={})):
            if markdown_structure(_rendered(_without_soft_breaks(way), translated).text) == wanted:
                return _rendered(way, translated)
    return _rendered(block, unchanged)._replace(text=block.source)


def _without_soft_breaks(block: Block) -> Block:
    spaces = {
        place: spelled.split("\n")[0] + "\n"
        for place, spelled in block.spaces.items()
        if block.text[place : place + 1] == "\n"
    }
    return replace(block, spaces=spaces)


def _rendered(block: Block, translated: Translated) -> Rendered:
    source, target = block.text + block.behind, translated.text + block.behind
    cuts = sorted(_edges(block.inlines))
    placing = Placing(source, target, translated.links, cuts)
    placed = _placed(placing, block.inlines, (0, len(source)), (0, len(target)))
    edges = frozenset(_places(placed))
    written = spelled(target, block.spellings, syntax=block.syntax, cuts=edges)
    for place in _objects(placed, placing):
        written[place] = ""
    seams = frozenset(_places(placed, apart=True))
    for place, spaces in placing.spaces(block.spaces).items():
        if not spaces and place not in seams and place + 1 not in seams:
            continue  # or two words would be one
        # In Markdown, a line that begins with another sign may be a block of its own.
        begins_line = "\n" in spaces and target[place] != "\n" and place + 1 not in edges
        if block.syntax != "markdown" or not begins_line or target[place + 1 : place + 2].isalpha():
            written[place] = spaces
    pieces = list(_written(placed, 0, len(target), written))
    return Rendered(
        block.before + "".join(piece for _, piece in pieces),
        list(_links(block, translated, pieces)),
    )


def _links(
    block: Block, translated: Translated, pieces: Sequence[tuple[int | None, str]]
) -> Iterator[WordLink]:
    """The links between the document and the pieces that are written for the block."""
    ends = list(accumulate((len(piece) for _, piece in pieces), initial=len(block.before)))
    places: dict[int, tuple[int, int]] = {}
    for (place, piece), end in zip(pieces, ends[1:], strict=True):
        if place is not None and piece:
            places[place] = (end - len(piece), end)
    for (first, last), (begin, end) in translated.links:
        if last <= len(block.spans) and begin in places and end - 1 in places:
            source = block.spans[first][0], block.spans[last - 1][1]
            yield WordLink(source, (places[begin][0], places[end - 1][1]))


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


def _objects(placed: Iterable[_Placed], placing: Placing) -> Iterator[int]:
    """Where the translation has an OBJECT whose element stands somewhere else."""
    for each in placed:
        if each.inline.verbatim:
            place = placing.objects.get(each.inline.begin)
            if place is not None and not each.begin <= place < each.end:
                yield place
        yield from _objects(each.children, placing)


def _edges(inlines: Iterable[Inline]) -> Iterable[int]:
    for inline in inlines:
        yield inline.begin
        yield inline.end
        yield from _edges(inline.children)


def _places(placed: Iterable[_Placed], *, apart: bool = False) -> Iterable[int]:
    """Where elements begin and end in the translation, or only those that are `apart`."""
    for each in placed:
        if each.inline.apart or not apart:
            yield each.begin
            yield each.end
        yield from _places(each.children, apart=apart)


def _written(
    placed: Sequence[_Placed], begin: int, end: int, written: Sequence[str]
) -> Iterator[tuple[int | None, str]]:
    """What is written, with the place in the translation that it is for, if any."""
    for each in placed:
        yield from zip(range(begin, each.begin), written[begin : each.begin], strict=True)
        if each.inline.verbatim:
            place = each.begin if each.begin < each.end else None
            yield place, each.inline.opening + each.inline.closing
        else:
            yield None, each.inline.opening
            yield from _written(each.children, each.begin, each.end, written)
            yield None, each.inline.closing
        begin = each.end
    yield from zip(range(begin, end), written[begin:end], strict=True)
