"""Which words of a translation say the same as words of its source."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from model.text.word_links import WordLink
from model.text.words import Span, overlapping, words

__all__ = ["AlignedWords"]


class AlignedWords:
    """The words of a source and of its translation. Time is linear in the words that links span.

    Links are what a model attended to. Those between a word and a punctuation mark say nothing, and
    a word that both texts have is the same one, whatever else it is linked to.

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
        num_links = [0] * len(self.target)
        for link in _word_by_word(self.source, _telling(source, target, links)):
            sources = overlapping(self.source, *link.source)
            targets = overlapping(self.target, *link.target)
            if not sources or not targets:
                continue
            for word in sources:
                self._of_source[word].append(len(self._targets))
            for word in targets:
                num_links[word] += len(sources)
            self._targets.append(targets)
        self._num_links = num_links
        self._num_aligned = list(accumulate(map(bool, num_links), initial=0))
        self._unaligned = [
            word
            for word, (begin, end) in enumerate(self.target)
            if not num_links[word] and target[begin].isalnum()
        ]
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
        fewest of them; a word that others say too counts for as much of it as these say. Empty
        where nothing says it.
        """
        shares = Counter(
            target
            for word in words
            for link in self._of_source[word]
            for target in self._targets[link]
        )
        best, first, last, score, best_score = range(0), 0, 0, 0.0, 0.0
        for target in sorted(shares):
            score -= self._num_aligned[target] - self._num_aligned[last]
            last = target + 1
            if score <= 0:
                first, score = target, 0.0
            score += shares[target] / self._num_links[target]
            if score > best_score:
                best, best_score = range(first, target + 1), score
        return self._with_edges(words, best) if best else best

    def _with_edges(self, words: range, cover: range) -> range:
        """With a word on each side that is linked to nothing, where the source's own is neither."""
        first, last = cover.start, cover.stop
        if not self._of_source[words[0]] and self._is_unaligned(first - 1):
            first -= 1
        if not self._of_source[words[-1]] and self._is_unaligned(last):
            last += 1
        return range(first, last)

    def _is_unaligned(self, word: int) -> bool:
        at = bisect_left(self._unaligned, word)
        return at < len(self._unaligned) and self._unaligned[at] == word

    def unaligned(self, room: Span, place: int, most: int) -> range:
        """Words beside each other within a range of the target that are linked to nothing: those
        next to `place`, `most` of them at most."""
        within = overlapping(self.target, *room)
        near = self._unaligned
        first, last = bisect_left(near, within.start), bisect_left(near, within.stop)
        if first == last:
            return range(0)
        index = bisect_left(self.target, (place,))
        at = bisect_left(near, index, first, last)
        if at == last or (at > first and index - near[at - 1] <= near[at] - index):
            at -= 1
        begin = end = at
        while end + 1 < last and end - begin + 1 < most and near[end + 1] == near[end] + 1:
            end += 1
        return range(near[begin], near[end] + 1)

    def last_before(self, word: int) -> int | None:
        """The last word of the source up to this one that the target says."""
        return self._before[word]

    def first_behind(self, word: int) -> int | None:
        """The first word of the source from this one on that the target says."""
        return self._behind[word]


def _telling(
    source: str, target: str, links: Sequence[WordLink]
) -> Iterator[tuple[WordLink, bool]]:
    """The links that say something, and whether both sides are the same."""
    said = [(source[slice(*link.source)], target[slice(*link.target)]) for link in links]
    same = [link for link, (word, other) in zip(links, said, strict=True) if word == other]
    sources, targets = {link.source for link in same}, {link.target for link in same}
    for link, (word, other) in zip(links, said, strict=True):
        if word == other or not (
            link.source in sources
            or link.target in targets
            or any(map(str.isalnum, word)) != any(map(str.isalnum, other))
        ):
            yield link, word == other


def _word_by_word(
    words: Sequence[Span], links: Iterable[tuple[WordLink, bool]]
) -> Iterator[WordLink]:
    """The links, those of several words that are the same word by word."""
    for link, same in links:
        (begin, end), shift = link.source, link.target[0] - link.source[0]
        if not same:
            yield link
            continue
        for word in overlapping(words, begin, end):
            first, last = max(words[word][0], begin), min(words[word][1], end)
            yield WordLink((first, last), (first + shift, last + shift))


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
