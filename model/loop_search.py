"""Further searches for sentences whose translation is a loop.

The engine bans what would be a copy too many of any block of tokens, and must allow some: it does
not know `10,000` from a word said three times. A finished translation can be read. One that has a
loop (`model.text.loops`) is searched for again: all before it is given, and its copies are banned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from model.decoding.repeats import most_copies
from model.decoding.sequence_options import SequenceOptions
from model.preprocessing import PreparedText
from model.text.alignment import target_spans
from model.text.loops import find_loop
from model.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from model.decoding.search import Hypothesis
    from model.engine.sequence import SequenceResult

__all__ = ["LoopPass", "LoopSearch", "with_times"]

_MOST_PASSES = 4
"""Further searches for one sentence: what is banned in one form may come in another one."""


@dataclass(frozen=True, kw_only=True)
class LoopPass:
    """A further search for a sentence, one of whose hypotheses is a loop."""

    number: int
    """Which one for its loops it is, from 1."""
    result: SequenceResult
    """What has been found before."""
    place: int
    """Which of its hypotheses is searched for again."""
    num_given: int
    """How many of its tokens are given."""
    source: tuple[int, ...]
    options: SequenceOptions
    """What the search is bound to."""

    def merged(self, found: SequenceResult) -> SequenceResult:
        """What is found now: the new hypothesis stands in the place of the old one, with its score,
        for what is given has none."""
        hypotheses = list(self.result.hypotheses)
        del hypotheses[self.place]
        new = [self._whole(each) for each in found.hypotheses]
        if self.place > 0:  # another alternative; of the best one something may have been told
            known = {each.token_ids for each in hypotheses}
            new = [each for each in new if each.token_ids not in known]
        for chosen in new[:1]:
            hypotheses = [each for each in hypotheses if each.token_ids != chosen.token_ids]
            hypotheses.insert(self.place, chosen)
        return with_times(found, self.result)._replace(hypotheses=tuple(hypotheses))

    def _whole(self, hypothesis: Hypothesis) -> Hypothesis:
        old, given = self.result.hypotheses[self.place], self.num_given
        return hypothesis._replace(
            token_ids=old.token_ids[:given] + hypothesis.token_ids,
            attended=old.attended[:given] + hypothesis.attended,
            score=old.score,
            log_prob=old.log_prob,
        )


class _Begin(NamedTuple):
    """How a hypothesis begins that is a loop."""

    first: int
    """The first token of the first copy."""
    last: int
    """Behind the last one that it may keep."""


class LoopSearch:
    """Tells which hypotheses are loops, and what to search for instead.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def without_loops(
        self, cut: PreparedText, number: int, result: SequenceResult, before: LoopPass | None
    ) -> tuple[SequenceResult, LoopPass | None]:
        """A segment's result, without alternatives that are loops if it needs none of them, and the
        further search that it needs.

        Args:
            cut: the text.
            number: which of its segments.
            result: what has been found for it.
            before: the last further search for its loops.
        """
        if not cut.limit_repeats:
            return result, None
        found = result.hypotheses
        text = cut.text.segments[number].text
        begins = [self._begin(text, each.token_ids) for each in found]
        looping = [place for place, begin in enumerate(begins) if begin is not None]
        if not looping:
            return result, None
        passes = before.number if before is not None else 0
        place, clean = looping[0], len(found) - len(looping)
        begin = begins[place]
        if begin is None or (place > 0 and clean >= cut.num_hypotheses) or passes == _MOST_PASSES:
            # Of the best one something may have been told.
            stay = [found[n] for n in range(len(found)) if n == 0 or begins[n] is None]
            return result._replace(hypotheses=tuple(stay)), None
        token_ids, last = found[place].token_ids, begin.last
        options, banned = cut.options[number], cut.options[number].banned
        if before is not None:
            banned = before.options.banned
            if place == before.place and len(token_ids) > before.num_given:
                last = max(last, before.num_given)
        return result, LoopPass(
            number=passes + 1,
            result=result,
            place=place,
            num_given=last,
            source=cut.text.segments[number].token_ids,
            options=replace(
                options,
                target_prefix=options.target_prefix + token_ids[:last],
                banned=(*banned, token_ids[begin.first : last + 1]),
            ),
        )

    def _begin(self, text: str, token_ids: tuple[int, ...]) -> _Begin | None:
        """How much of a hypothesis may stay, if it is a loop."""
        if most_copies(token_ids) == 1:  # nothing is said twice in a row; to read it takes longer
            return None
        translation, spans = target_spans(self._tokenizer, token_ids)
        loop = find_loop(text, translation)
        if loop is None:
            return None
        first = next(n for n, (_, end) in enumerate(spans) if end > loop.begin)
        last = next(n for n, (_, end) in enumerate(spans, 1) if end >= loop.keep)
        return _Begin(first, last) if last < len(token_ids) else None


def with_times(last: SequenceResult, before: SequenceResult) -> SequenceResult:
    """The result of a further search, with the times of those before it."""
    return last._replace(
        queue_seconds=before.queue_seconds + last.queue_seconds,
        encode_seconds=before.encode_seconds + last.encode_seconds,
        decode_seconds=before.decode_seconds + last.decode_seconds,
        time_to_first_token_seconds=before.time_to_first_token_seconds,
    )
