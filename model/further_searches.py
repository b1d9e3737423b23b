"""Further searches for sentences of which the first one has not found what is wanted.

A sentence whose translation is a loop is searched for again (`LoopSearch`), and then one that lacks
terms of its glossary (`TermSearch`), as often as each of the two allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from model.loop_search import LoopPass, LoopSearch
from model.preprocessing import PreparedText
from model.term_search import TermPass, TermSearch

if TYPE_CHECKING:
    from model.engine.sequence import SequenceResult

__all__ = ["FurtherPass", "FurtherSearches"]


@dataclass(frozen=True, kw_only=True)
class FurtherPass:
    """What has been found for the segments of texts, and which of them are searched for again."""

    texts: list[PreparedText]
    """With what the further searches are bound to."""
    results: list[SequenceResult]
    """For each segment, the best hypotheses first."""
    again: dict[int, LoopPass | TermPass] = field(default_factory=dict)
    """By their places in `results`."""
    loops: dict[int, LoopPass] = field(default_factory=dict)
    """The last search for the loops of each that had one."""

    def merged(self, found: Sequence[SequenceResult]) -> list[SequenceResult]:
        """The results, with those of the further searches, which are in the order of `again`."""
        merged = list(self.results)
        for (place, each), result in zip(self.again.items(), found, strict=True):
            merged[place] = each.merged(result)
        return merged


class FurtherSearches:
    """Tells for which segments to search again.

    Args:
        loops: of all of them.
        terms: of those with terms.
    """

    def __init__(self, loops: LoopSearch, terms: TermSearch) -> None:
        self._loops = loops
        self._terms = terms

    def steps(
        self,
        texts: Sequence[PreparedText],
        results: Sequence[SequenceResult],
        before: FurtherPass | None = None,
    ) -> Iterator[FurtherPass | None]:
        """What is to be searched for again, after a None for each segment that was looked at.

        Args:
            texts: with what their segments were bound to.
            results: of each segment.
            before: the further searches that have found some of these; what they have left alone
                is decided.
        """
        remaining = iter(results)
        loops = {} if before is None else dict(before.loops)
        done = FurtherPass(texts=list(texts), results=[], loops=loops)
        for place, text in enumerate(texts):
            for number, result in enumerate(islice(remaining, len(text.options))):
                done.results.append(result)
                index = len(done.results) - 1
                if before is None or index in before.again:
                    self._look(done, place, number, index)
                    yield None
        yield done

    def decided(
        self, cut: PreparedText, number: int, result: SequenceResult
    ) -> SequenceResult | None:
        """A segment's result as it will be; None if it is to be searched for again."""
        result, loop = self._loops.without_loops(cut, number, result, None)
        if loop is not None:
            return None
        lost: Collection[int] = ()
        if cut.terms[number]:
            result, lost = self._terms.ranked(cut, number, result)
        return None if lost else result

    def _look(self, done: FurtherPass, place: int, number: int, index: int) -> None:
        """Takes note of the further search for a segment, if there is one."""
        text, before = done.texts[place], done.loops.get(index)
        result, loop = self._loops.without_loops(text, number, done.results[index], before)
        if loop is not None:
            done.again[index] = done.loops[index] = loop
        elif text.terms[number]:
            result, text, terms = self._terms.with_terms(text, number, result)
            done.texts[place] = text
            if terms is not None:
                done.again[index] = terms
        done.results[index] = result
