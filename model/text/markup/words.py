"""Which words of a translation say the same as words of its source."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from model.text.word_links import WordLink
from model.text.words import Span, overlapping, words

__all__ = ["AlignedWords"]


class AlignedWords:
    """The words of a source and of its translation. Time is linear in the words that links span.

    Args:
        links: in any order.
        cuts: places in the source, in order, at which a word ends in any case.
    """

    def __init__(
        self, source: str, target: str, links: Sequence[WordLink], cuts: Sequence[int] = ()
    ) -> None:
        self.whole = words(source, boundaries={place for link in links for place in link.source})
        self.source = _cut(self.whole, cuts)
        self.target = words(target, boundaries={place for link in links for place in link.target})
        self._of_source: list[list[int]] = [[] for _ in self.source]
        self._targets: list[range] = []
        aligned = [0] * len(self.target)
        for link in links:
            sources = overlapping(self.source, *link.source)
            targets = overlapping(self.target, *link.target)
            if not sources or not targets:
                continue
            for word in sources:
                self._of_source[word].append(len(self._targets))
            for word in targets:
                aligned[word] = 1
            self._targets.append(targets)
        self._num_aligned = list(accumulate(aligned, initial=0))
        places = range(len(self.source))
        self._before = _nearest(places, self._of_source)
        self._behind = _nearest(reversed(places), self._of_source)

    def targets(self, words: Iterable[int]) -> list[int]:
        """The words of the target, in order, that say what these of the source do."""
        links = {link for word in words for link in self._of_source[word]}
        return sorted({word for link in links for word in self._targets[link]})

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


def _cut(spans: Iterable[Span], cuts: Sequence[int]) -> list[Span]:
    """`spans`, in order, parted at `cuts`."""
    parts: list[Span] = []
    for begin, end in spans:
        place = bisect_left(cuts, begin + 1)
        while place < len(cuts) and cuts[place] < end:
            parts.append((begin, cuts[place]))
            begin = cuts[place]
            place = bisect_left(cuts, begin + 1)
        parts.append((begin, end))
    return parts


def _nearest(words: Iterable[int], links: Sequence[Sequence[int]]) -> dict[int, int | None]:
    nearest: dict[int, int | None] = {}
    last: int | None = None
    for word in words:
        last = word if links[word] else last
        nearest[word] = last
    return nearest
