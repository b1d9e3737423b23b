"""A second search for a target whose phrase has missed its place: it is given up to there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.decoding.phrases import trace
from model.decoding.search import Hypothesis
from model.decoding.sequence_options import SequenceOptions

__all__ = ["SecondPass", "second_pass"]

_MOST_PASSES = 4
"""Searches for one source: a phrase that gets its place may make another one miss its own."""


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

    @property
    def options(self) -> SequenceOptions:
        """What the search is bound to: the hypothesis so far is given."""
        return replace(self.first, target_prefix=self.first.target_prefix + self.token_ids)

    def whole(self, hypothesis: Hypothesis) -> Hypothesis:
        """What the search has found, with what it was given."""
        missed = hypothesis.missed
        if missed is not None:
            given = len(self.token_ids)
            missed = missed._replace(begin=missed.begin + given, step=missed.step + given)
        return replace(
            hypothesis,
            token_ids=self.token_ids + hypothesis.token_ids,
            attended=self.attended + hypothesis.attended,
            missed=missed,
        )


def second_pass(
    hypotheses: tuple[Hypothesis, ...], options: SequenceOptions, before: SecondPass | None
) -> SecondPass | None:
    """The next search for a source, if there should be one.

    Of several hypotheses none is searched for again: all would begin alike.

    Args:
        hypotheses: what has been found, best first; whole.
        options: what the first search was bound to.
        before: the search that found it, if it was not the first.
    """
    best, number = hypotheses[0], before.number + 1 if before else 2
    if len(hypotheses) > 1 or best.missed is None or number > _MOST_PASSES:
        return None
    begin, step = best.missed
    span = next((span for span in trace(best.token_ids, options) if span.begin == begin), None)
    if span is None:
        return None
    phrase = best.token_ids[span.begin : span.end]
    places = options.phrases[span.number].places or options.align_to or range(1)
    return SecondPass(
        first=options,
        token_ids=best.token_ids[:step] + phrase,
        attended=best.attended[:step] + (places.start,) * len(phrase) if best.attended else (),
        number=number,
    )
