"""Segmentation without what makes it fast: the reference for how a sentence is cut in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from model.text.protection import longest
from model.text.segmentation import (
    _CLAUSE_END,
    _SPACE,
    _SURELY_TOO_MANY,
    Segment,
    Segmenter,
    _core,
    _says_something,
    _span_at,
    _within,
)
from model.text.segmentation import _cut as cut_anywhere

Bounds = Sequence[tuple[int, int]]


class ReferenceSegmenter(Segmenter):
    """Cuts sentences by recursion, and reads all that a part has before it is cut."""

    def _sentence(self, sentence: str) -> Iterator[Segment | str]:
        bounds = () if self._masker is None else self._masker.bounds(sentence)
        yield from self._part(sentence, bounds, 0, len(sentence), 0.0)

    def _part(
        self, sentence: str, bounds: Bounds, first: int, last: int, density: float
    ) -> Iterator[Segment | str]:
        begin, end = _core(sentence, first, last)
        core = sentence[begin:end]
        if not _says_something(core):
            yield sentence[first:last]
            return
        yield sentence[first:begin]
        kept = _within(bounds, begin, end)
        masked = sum(right - left - 1 for left, right in longest(kept))
        to_read = len(core) - masked
        if len(core) == 1 or density * to_read < _SURELY_TOO_MANY * self._max_tokens:
            segment = self._read(core, begin, kept)
            num_tokens = len(segment.token_ids)
            if num_tokens <= self._max_tokens or len(core) == 1:
                fits = num_tokens <= self._max_tokens
                yield segment if fits and self._knows(segment, density > 0) else core
                yield sentence[end:last]
                return
            density = num_tokens / to_read
        cut = _cut(sentence, begin, end, kept)
        yield from self._part(sentence, bounds, begin, cut, density)
        yield from self._part(sentence, bounds, cut, end, density)
        yield sentence[end:last]


def _cut(sentence: str, begin: int, end: int, kept: Bounds) -> int:
    middle, quarter = (begin + end) // 2, (end - begin) // 4
    for boundary in (_CLAUSE_END, _SPACE):
        found = boundary.finditer(sentence, begin + quarter, end - quarter)
        places = [match.end() for match in found]
        inner = [place for place in places if begin < place < end and not _span_at(place, kept)]
        if inner:
            return min(inner, key=lambda place: abs(place - middle))
    return cut_anywhere(sentence, begin, end, kept)
