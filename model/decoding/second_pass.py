"""A second search for targets whose phrase has missed its place: they are given up to there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.decoding.phrases import trace
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.decoding.token_ids import packed_ids

__all__ = ["SecondPass", "second_pass"]

_MOST_PASSES = 4
"""Searches for one source: a phrase that gets its place may make another one miss its own, and of
several hypotheses not all miss the same."""


@dataclass(frozen=True, kw_only=True)
class SecondPass:
    """What a further search for a source is bound to."""

    first: SequenceOptions
    """What the first search was bound to."""
    token_ids: tuple[int, ...]
    """What is given beyond the first target prefix: all before the phrase, and the phrase."""
    attended: tuple[int, ...]
    number: int
    """Which search it is: 2 and so on."""
    found: tuple[Hypothesis, ...]
    """What has been found until now, best first."""
    late: tuple[int, ...]
    """Which of them are searched for again: they begin alike."""

    @property
    def options(self) -> SequenceOptions:
        """What the search is bound to: the beginning is given."""
        return replace(self.first, target_prefix=self.first.target_prefix + self.token_ids)

    def whole(self, hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
        """All that is found now: what the search has, with what it was given, in the place of those
        that were searched for again. It keeps their scores, for what is given has none."""
        rest = {each.token_ids for n, each in enumerate(self.found) if n not in self.late}
        new = (each for each in map(self._whole, hypotheses) if each.token_ids not in rest)
        put = dict(zip(self.late, new, strict=False))
        return tuple(
            put[n]._replace(score=each.score, log_prob=each.log_prob) if n in put else each
            for n, each in enumerate(self.found)
            if n in put or n not in self.late
        )

    def _whole(self, hypothesis: Hypothesis) -> Hypothesis:
        missed = hypothesis.missed
        if missed is not None:
            given = len(self.token_ids)
            missed = missed._replace(begin=missed.begin + given, step=missed.step + given)
        return hypothesis._replace(
            target=packed_ids(self.token_ids) + hypothesis.target,
            attended=self.attended + hypothesis.attended,
            missed=missed,
        )


def second_pass(
    hypotheses: tuple[Hypothesis, ...], options: SequenceOptions, before: SecondPass | None
) -> SecondPass | None:
    """The next search for a source, if there should be one.

    Args:
        hypotheses: what has been found, best first; whole.
        options: what the first search was bound to.
        before: the search that found it, if it was not the first.
    """
    number = before.number + 1 if before else 2
    if number > _MOST_PASSES:
        return None
    begins = [_begin(each, options) for each in hypotheses]
    found = next(((n, begin) for n, begin in enumerate(begins) if begin is not None), None)
    if found is None:
        return None
    first, (step, token_ids, place) = found
    best = hypotheses[first]
    given = len(token_ids) - step
    return SecondPass(
        first=options,
        token_ids=token_ids,
        attended=best.attended[:step] + (place,) * given if best.attended else (),
        number=number,
        found=hypotheses,
        late=tuple(n for n, each in enumerate(begins) if each and each[1] == token_ids),
    )


def _begin(
    hypothesis: Hypothesis, options: SequenceOptions
) -> tuple[int, tuple[int, ...], int] | None:
    """How a hypothesis that has a phrase in the wrong place should begin: how many of its tokens
    stay, these with the phrase behind them, and the place in the source of that."""
    if hypothesis.missed is None:
        return None
    begin, step = hypothesis.missed
    token_ids = hypothesis.token_ids
    spans = trace(token_ids, options)
    span = next((span for span in spans if span.begin == begin), None)
    if span is None:
        return None
    phrase = token_ids[span.begin : span.end]
    places = options.phrases[span.number].places or options.align_to or range(1)
    return step, token_ids[:step] + phrase, places.start
