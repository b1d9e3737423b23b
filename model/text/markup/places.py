"""The range of a translation that an inline element of the source encloses."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from model.text.markup.block import OBJECT, Inline
from model.text.markup.words import AlignedWords
from model.text.word_links import WordLink
from model.text.words import overlapping

__all__ = ["Placing"]

_NEAR = 40
"""Punctuation marks behind a word that are held against those of the source."""
_LONGEST_WORD = 100
_SPACES = (" ", "\n")


class Placing:
    """Finds the places of a block's inline elements in its translation.

    Args:
        source: the block's text.
        target: its translation.
        links: which of their words say the same.
        cuts: the places in the source, in order, where elements begin or end.
    """

    def __init__(
        self, source: str, target: str, links: Sequence[WordLink], cuts: Sequence[int]
    ) -> None:
        self._source = source
        self._target = target
        self._words = AlignedWords(source, target, links, cuts)
        self.objects = _objects(source, target, links)
        """Where in the translation each OBJECT of the source is that it has."""
        self._breaks, self._target_breaks = _breaks(source), _breaks(target)

    def cover(
        self, inline: Inline, outer: tuple[int, int], room: tuple[int, int]
    ) -> tuple[int, int]:
        """The range of the translation that the element encloses, without regard to others.

        Args:
            outer: the range of the source that the element around it has.
            room: the range of the translation that this one has.
        """
        begin, end = self._stripped(self._source, inline.begin, inline.end)
        lines = range(
            bisect_left(self._breaks, inline.begin), bisect_left(self._breaks, inline.end) + 1
        )
        breaks = self._target_breaks
        if not breaks or len(breaks) != len(self._breaks):
            return self._cover(inline, begin, end, outer, room)
        outer = _of_lines(lines, self._breaks, outer)
        room = _of_lines(lines, breaks, room)
        first, last = self._cover(inline, begin, end, outer, room)
        if len(lines) == 1:
            return first, last
        own = breaks[lines[0]], breaks[lines[-2]] + 1
        return (min(first, own[0]), max(last, own[1])) if first < last else own

    def _cover(
        self,
        inline: Inline,
        begin: int,
        end: int,
        outer: tuple[int, int],
        room: tuple[int, int],
    ) -> tuple[int, int]:
        if begin == end:
            at = self._point(inline.begin, outer, room)
            width = inline.end - inline.begin
            return at, at + width * self._is_space(self._target, at, room)
        if inline.verbatim:
            at = self.objects.get(begin, -1)
            if room[0] <= at < room[1]:
                return at, at + 1
            return (self._point(begin, outer, room),) * 2
        if (begin, end) == self._stripped(self._source, *outer):
            found = self._stripped(self._target, *room)
        else:
            found = self._words_of(begin, end, outer, room)
        return found if found[0] == found[1] else self._with_spaces(inline, *found, room)

    def spaces(self, spaces: Mapping[int, str]) -> dict[int, str]:
        """How white space of the translation is written, by its place, as `Block.spaces` says it.

        A forced line break that the translation lacks comes before the word that it stands
        before.
        """
        breaks = self._target_breaks[::-1]
        written: dict[int, str] = {}
        for place, spelling in spaces.items():
            outer, room = (0, len(self._source)), (0, len(self._target))
            if self._source[place] == "\n" and breaks:
                written[breaks.pop()] = spelling
                continue
            at = self._point(place, outer, room)
            if self._is_space(self._target, at, room) and at not in written:
                written[at] = spelling
            elif self._source[place] == "\n":
                at = min(at, len(self._target) - 1)
                written[at] = spelling + written.get(at, self._target[at])
        return written

    def _words_of(
        self, begin: int, end: int, outer: tuple[int, int], room: tuple[int, int]
    ) -> tuple[int, int]:
        words = self._words
        sources = overlapping(words.source, begin, end)
        targets = words.cover(sources)
        if not targets:
            at = self._point(begin, outer, room)
            targets = words.unaligned(room, at, len(sources))
            if not targets or not self._has_letter(begin, end):
                return at, at
        first, last = words.target[targets[0]][0], words.target[targets[-1]][1]
        first = self._within(begin, targets[0], first)
        last = self._within(end, targets[-1], last)
        if last <= first:
            first, last = words.target[targets[0]][0], words.target[targets[-1]][1]
        first, last = self._with_punctuation(begin, end, first, last, room)
        first, last = max(first, room[0]), min(last, room[1])
        return (first, last) if first < last else (min(first, room[1]),) * 2

    def _has_letter(self, begin: int, end: int) -> bool:
        return any(map(str.isalnum, self._source[begin:end]))

    def _within(self, place: int, target: int, otherwise: int) -> int:
        """The place within a word of the target that is `place` within one of the source."""
        words = self._words
        for word in overlapping(words.whole, place - 1, place):
            begin, end = words.whole[word]
            if not begin < place < end or end - begin > _LONGEST_WORD:
                break
            first, last = words.target[target]
            if self._target.startswith(self._source[begin:place], first, last):
                return first + place - begin
            if self._target.endswith(self._source[place:end], first, last):
                return last - (end - place)
        return otherwise

    def _with_punctuation(
        self, begin: int, end: int, first: int, last: int, room: tuple[int, int]
    ) -> tuple[int, int]:
        """The range with punctuation at its edges where the source has some, else without."""
        target, source = self._target, self._source
        if not _is_punctuation(source[end - 1]):
            while last - 1 > first and _is_punctuation(target[last - 1]):
                last -= 1
        elif last < room[1] and _is_punctuation(target[last]) and target[last - 1].isalnum():
            last += 1
        if not _is_punctuation(source[begin]):
            while first + 1 < last and _is_punctuation(target[first]):
                first += 1
        elif first > room[0] and _is_punctuation(target[first - 1]) and target[first].isalnum():
            first -= 1
        first, last = self._stripped(target, first, last)
        return first, last

    def _with_spaces(
        self, inline: Inline, first: int, last: int, room: tuple[int, int]
    ) -> tuple[int, int]:
        """The range with the white space that the element has at its edges."""
        if self._source[inline.begin] in _SPACES and self._is_space(self._target, first - 1, room):
            first -= 1
        if self._source[inline.end - 1] in _SPACES and self._is_space(self._target, last, room):
            last += 1
        return first, last

    def _point(self, place: int, outer: tuple[int, int], room: tuple[int, int]) -> int:
        """The place in the translation of one between two characters of the source."""
        words = self._words
        if targets := words.targets(overlapping(words.source, place - 1, place)):
            found = self._within(place, targets[-1], -1)
            if found >= 0:
                return _clipped(found, room)
        first, last = self._stripped(self._source, *outer)
        if place <= first:
            return self._skipped(room[0], place - outer[0], room)
        if place >= last:
            return self._skipped(room[1], place - outer[1], room)
        before = overlapping(words.source, outer[0], place)
        behind = overlapping(words.source, place, outer[1])
        near = [
            self._after(before[-1] if before else None, place, room),
            self._ahead(behind[0] if behind else None, place, room),
        ]
        if self._source[place - 1] in _SPACES and self._source[place] not in _SPACES:
            near.reverse()
        found = next((at for at in near if at is not None), room[1])
        return _clipped(found, room)

    def _after(self, word: int | None, place: int, room: tuple[int, int]) -> int | None:
        """The place behind what says the last word before `place`."""
        aligned = None if word is None else self._words.last_before(word)
        if word is None or aligned is None:
            return None
        at = self._words.target[self._words.targets([aligned])[-1]][1]
        gap = self._words.source[aligned][1], self._words.source[word][1]
        for mark in self._source[gap[0] : min(gap[1], gap[0] + _NEAR)]:
            at += mark == self._target[at : at + 1] and _is_punctuation(mark)
        return self._skipped(at, place - self._words.source[word][1], room)

    def _ahead(self, word: int | None, place: int, room: tuple[int, int]) -> int | None:
        """The place before what says the first word behind `place`."""
        aligned = None if word is None else self._words.first_behind(word)
        if word is None or aligned is None:
            return None
        at = self._words.target[self._words.targets([aligned])[0]][0]
        return self._skipped(at, place - self._words.source[word][0], room)

    def _skipped(self, at: int, spaces: int, room: tuple[int, int]) -> int:
        """The place at most so many characters of white space behind, or before if negative."""
        while spaces > 0 and self._is_space(self._target, at, room):
            at, spaces = at + 1, spaces - 1
        while spaces < 0 and self._is_space(self._target, at - 1, room):
            at, spaces = at - 1, spaces + 1
        return at

    @staticmethod
    def _is_space(text: str, place: int, room: tuple[int, int]) -> bool:
        return room[0] <= place < room[1] and text[place] in _SPACES

    @staticmethod
    def _stripped(text: str, begin: int, end: int) -> tuple[int, int]:
        while begin < end and text[begin] in _SPACES:
            begin += 1
        while begin < end and text[end - 1] in _SPACES:
            end -= 1
        return begin, end


def _breaks(text: str) -> list[int]:
    return [place for place, character in enumerate(text) if character == "\n"]


def _of_lines(lines: range, breaks: Sequence[int], around: tuple[int, int]) -> tuple[int, int]:
    """The part of a range that has some lines."""
    begin = breaks[lines[0] - 1] + 1 if lines[0] else 0
    end = breaks[lines[-1]] if lines[-1] < len(breaks) else around[1]
    return _clipped(begin, around), _clipped(end, around)


def _objects(source: str, target: str, links: Sequence[WordLink]) -> dict[int, int]:
    """Where OBJECTs of `source` are in `target`: where links say, the others in their order."""
    places = [place for place, character in enumerate(source) if character == OBJECT]
    if not places:
        return {}
    found: dict[int, int] = {}
    for (first, last), (begin, end) in links:
        if OBJECT in source[first:last] and source[first:last] == target[begin:end]:
            for place in range(first, last):
                if source[place] == OBJECT:
                    found[place] = begin + place - first
    taken = set(found.values())
    left = [at for at, character in enumerate(target) if character == OBJECT and at not in taken]
    return found | dict(zip((each for each in places if each not in found), left, strict=False))


def _clipped(place: int, room: tuple[int, int]) -> int:
    return min(max(place, room[0]), room[1])


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
