"""Words of a text, and which words of two texts say the same."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["AlignedSpan", "AlignedWords", "Words"]

_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
"""Letters of scripts without spaces between words: each is looked at by itself."""
_WORD = re.compile(
    rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+(?:['\u2019](?:(?![{_UNSPACED}])\w)+)*|[^\w\s]"
)


@dataclass(frozen=True, slots=True)
class AlignedSpan:
    """Characters of a source, and those of its translation that say the same."""

    source_begin: int
    source_end: int
    target_begin: int
    target_end: int


class Words:
    """The words of a text, and its punctuation marks, with their places.

    Args:
        cuts: places, in order, at which a word ends in any case.
    """

    def __init__(self, text: str, cuts: Iterable[int] = ()) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        remaining = iter(cuts)
        cut = next(remaining, len(text))
        for match in _WORD.finditer(text):
            begin, end = match.span()
            while cut < end:
                if cut > begin:
                    self.begins.append(begin)
                    self.ends.append(cut)
                    begin = cut
                cut = next(remaining, len(text))
            self.begins.append(begin)
            self.ends.append(end)

    def __len__(self) -> int:
        return len(self.begins)

    def among(self, begin: int, end: int) -> range:
        """The words of which some character is in the range."""
        return range(bisect_right(self.ends, begin), bisect_left(self.begins, end))


class AlignedWords:
    """The words of a source and of its translation.

    Args:
        pairs: in any order; time is linear in the words that they span.
        cuts: see `Words`; of the source.
    """

    def __init__(
        self, source: str, target: str, pairs: Iterable[AlignedSpan], cuts: Iterable[int] = ()
    ) -> None:
        self.source = Words(source, cuts)
        self.whole = Words(source)
        self.target = Words(target)
        self._of_source: list[list[int]] = [[] for _ in self.source.begins]
        self._targets: list[range] = []
        aligned = [0] * len(self.target)
        for pair in pairs:
            sources = self.source.among(pair.source_begin, pair.source_end)
            targets = self.target.among(pair.target_begin, pair.target_end)
            if not sources or not targets:
                continue
            for word in sources:
                self._of_source[word].append(len(self._targets))
            for word in targets:
                aligned[word] = 1
            self._targets.append(targets)
        self._num_aligned = list(accumulate(aligned, initial=0))
        words = range(len(self.source))
        self._before = _nearest(words, self._of_source)
        self._behind = _nearest(reversed(words), self._of_source)

    def is_aligned(self, word: int) -> bool:
        """Whether a word of the target says what some of the source does."""
        return self._num_aligned[word + 1] > self._num_aligned[word]

    def targets(self, words: Iterable[int]) -> list[int]:
        """The words of the target, in order, that say what these of the source do."""
        pairs = {pair for word in words for pair in self._of_source[word]}
        return sorted({word for pair in pairs for word in self._targets[pair]})

    def cover(self, words: range) -> range:
        """The words of the target that say together what these of the source do.

        Where words that say something else stand between, those count for the most that have the
        fewest of them. Empty where nothing says it.
        """
        targets = self.targets(words)
        best, first, score = range(0), 0, 0
        best_score = 0
        for index, word in enumerate(targets):
            if index:
                previous = targets[index - 1] + 1
                score -= self._num_aligned[word] - self._num_aligned[previous]
            if score <= 0:
                first, score = word, 0
            score += 1
            if score > best_score:
                best, best_score = range(first, word + 1), score
        return best

    def last_before(self, word: int) -> int | None:
        """The last word of the source up to this one that the target says."""
        return self._before[word]

    def first_behind(self, word: int) -> int | None:
        """The first word of the source from this one on that the target says."""
        return self._behind[word]


def _nearest(words: Iterable[int], pairs: Sequence[Sequence[int]]) -> dict[int, int | None]:
    nearest: dict[int, int | None] = {}
    last: int | None = None
    for word in words:
        last = word if pairs[word] else last
        nearest[word] = last
    return nearest
