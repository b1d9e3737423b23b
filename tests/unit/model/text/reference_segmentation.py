"""Segmentation without what makes it fast: the reference for how a sentence is cut in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from model.text.number_runs import NumberReader
from model.text.numbers import Number
from model.text.numbers.values import Quantity
from model.text.runs import Runs
from model.text.segmentation import (
    _SURELY_TOO_MANY,
    Segment,
    Segmenter,
    _core,
    _saved,
    _says_something,
    _span_at,
    _within,
)
from model.text.segmentation import _cut as cut_anywhere
from model.text.tokenizer import Tokenizer


class PlainNumberReader(NumberReader):
    """Finds the forms of each number anew."""

    def _decimal_form(self, value: Quantity) -> str | None:
        return None

    def _amount_forms(self, number: Number) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        return None


class ReferenceSegmenter(Segmenter):
    """Cuts sentences by recursion, one by one, and reads all that a part has before it is cut.

    It looks through each line, however plain, for where sentences end, and for how it is read.
    """

    def __init__(self, tokenizer: Tokenizer, *, language: str, target: str = "", **options: Any):
        super().__init__(tokenizer, language=language, target=target, **options)
        self._numbers = PlainNumberReader(tokenizer, source=language, target=target or language)

    def _parts_of_short(self, line: str, batch: Any, count: str, _: object) -> Sequence[Any]:
        return list(self._parts(line, batch, count))

    def _may_be_shown(self, lines: str) -> bool:
        return True

    def _may_be_cased(self, texts: Sequence[str], **_: object) -> Sequence[int]:
        return range(len(texts))

    def _cut_short(self, sentences: dict[str, list[Segment | str]], counts: dict[str, str]) -> None:
        for sentence, pieces in sentences.items():
            pieces.extend(self._segments(sentence, self._runs([sentence], counts)[0]))

    def _segments(self, sentence: str, runs: Runs) -> Iterator[Segment | str]:
        yield from self._part(sentence, runs, 0, len(sentence), 0.0)

    def _part(
        self, sentence: str, runs: Runs, first: int, last: int, density: float
    ) -> Iterator[Segment | str]:
        begin, end = _core(sentence, first, last)
        core = sentence[begin:end]
        if not _says_something(core):
            yield sentence[first:last]
            return
        yield sentence[first:begin]
        kept = _within(runs, begin, end)
        chosen = self.reader.chosen(kept)
        to_read = len(core) - sum(map(_saved, chosen))
        if len(core) == 1 or density * to_read < _SURELY_TOO_MANY * self._max_tokens:
            [reading], [text] = self._read_batch([(core, begin, chosen)], is_part=density > 0)
            token_ids = self._encoder.encode(text)
            if len(token_ids) <= self._max_tokens or len(core) == 1:
                fits = len(token_ids) <= self._max_tokens
                is_segment = fits and self._knows(core, reading, token_ids, density > 0)
                yield Segment(core, token_ids, reading) if is_segment else core
                yield sentence[end:last]
                return
            density = len(token_ids) / to_read
        cut = _cut(sentence, begin, end, kept)
        yield from self._part(sentence, runs, begin, cut, density)
        yield from self._part(sentence, runs, cut, end, density)
        yield sentence[end:last]


_CLAUSE_END = re.compile(
    r"(?<=[;:,\u2013—)\]}»”])\s+"
    r"|(?<=[、」\uff0c\uff1b\uff1a\uff09])"  # full-width ones, which no space follows
)
_SPACE = re.compile(r"\s+")


def _cut(sentence: str, begin: int, end: int, kept: Runs) -> int:
    middle, quarter = (begin + end) // 2, (end - begin) // 4
    for boundary in (_CLAUSE_END, _SPACE):
        found = boundary.finditer(sentence, begin + quarter, end - quarter)
        places = [match.end() for match in found]
        inner = [place for place in places if begin < place < end and not _span_at(place, kept)]
        if inner:
            return min(inner, key=lambda place: abs(place - middle))
    return cut_anywhere(sentence, begin, end, kept)
