"""Further searches for sentences whose translation has no place for a term of the glossary.

Most terms the model says itself, or its own words for them are replaced. For those that it leaves
out there is nothing to replace: the sentence is searched for again, and they are phrases that the
target must have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from model.decoding.phrases import Phrase, PhraseSpan, trace
from model.decoding.sequence_options import SequenceOptions
from model.preprocessing import PreparedText
from model.text.alignment import source_spans, target_spans, tokens_attended
from model.text.glossary import TermMatch, cased
from model.text.terms import TargetText, TermPlaces, num_written, term_places
from model.text.tokenizer import Tokenizer
from model.text.words import overlapping

if TYPE_CHECKING:
    from model.decoding.search import Hypothesis
    from model.engine.sequence import SequenceResult

__all__ = ["TermPass", "TermSearch"]

_SENTENCE_END = re.compile(r"[.!?\u2026]+(?!\d)")
_MOST_SCORE_FOR_TERMS = 1.0
"""Most of its score that a hypothesis may be worse than the best one, to be taken for its terms."""


@dataclass(frozen=True, kw_only=True)
class TermPass:
    """What has been found for the segments of texts, and which of them are searched for again."""

    texts: list[PreparedText]
    """With what the further searches are bound to."""
    results: list[SequenceResult]
    """For each segment, first the hypotheses that have most of the terms."""
    again: list[int]
    """Which of `results` lack a term."""
    sources: list[tuple[int, ...]]
    """What is searched for again."""
    options: list[SequenceOptions]

    def merged(self, found: Sequence[SequenceResult]) -> list[SequenceResult]:
        """The results, with those of the further searches behind what they have."""
        merged = list(self.results)
        for number, result in zip(self.again, found, strict=True):
            merged[number] = _merged(merged[number], result)
        return merged


class TermSearch:
    """Tells which hypotheses have their terms, and what to search for where they have not.

    Args:
        tokenizer: the model's.
        alignment_shifted: see `TransformerConfig.alignment_shifted`.
    """

    def __init__(self, tokenizer: Tokenizer, *, alignment_shifted: bool) -> None:
        self._tokenizer = tokenizer
        self._alignment_shifted = alignment_shifted

    def steps(
        self,
        texts: Sequence[PreparedText],
        results: Sequence[SequenceResult],
        searched: Iterable[int] | None = None,
    ) -> Iterator[TermPass | None]:
        """What is to be searched for again, after a None for each segment with terms.

        Each segment is searched for three times at most: the second time with what it lacks, the
        third time with all terms.

        Args:
            texts: with what their segments were bound to.
            results: of each segment.
            searched: which of `results` a further search has changed; None before the first one.
                The order of the others is decided.
        """
        texts = list(texts)
        new = None if searched is None else set(searched)
        remaining = iter(results)
        ranked: list[SequenceResult] = []
        done = TermPass(texts=texts, results=ranked, again=[], sources=[], options=[])
        for place, text in enumerate(texts):
            for number, result in enumerate(islice(remaining, len(text.options))):
                ranked.append(result)
                if not text.terms[number] or (new is not None and len(ranked) - 1 not in new):
                    continue
                ranked[-1], lost = self.ranked(texts[place], number, result)
                if lost and (more := self._with_phrases(texts[place], number, lost)) is not None:
                    texts[place] = more
                    done.again.append(len(ranked) - 1)
                    done.sources.append(more.text.segments[number].token_ids)
                    done.options.append(more.options[number])
                yield None
        yield done

    def ranked(
        self, cut: PreparedText, number: int, result: SequenceResult
    ) -> tuple[SequenceResult, set[int]]:
        """A result with those hypotheses first that have all terms, and among them those that the
        model has said most of itself; and the terms that one lacks which would be shown."""
        terms, found = cut.terms[number], result.hypotheses
        is_first = number not in cut.term_phrases
        if not is_first and all(term.said is not None for term in terms):
            found = self._without_afterthoughts(found)
        alone = cut.num_hypotheses == 1
        best = max(found, key=lambda each: each.score)
        if alone and self._num_written(terms, best) == len(terms):
            return result._replace(hypotheses=(best,)), set()
        least = best.score - _MOST_SCORE_FOR_TERMS if is_first else -math.inf
        said = [self._num_written(terms, each) for each in found]
        order = sorted(
            range(len(found)), key=lambda n: (found[n].score < least, -said[n], -found[n].score)
        )
        whole: list[Hypothesis] = []
        others: list[tuple[list[int], Hypothesis]] = []
        for n in order:
            lost = [] if said[n] == len(terms) else self.traced(cut, number, found[n])[1].lost
            if lost or (alone and found[n].score < least):
                others.append((lost, found[n]))
                continue
            whole.append(found[n])
            if alone:
                break
        others.sort(key=lambda other: (other[1].score < least, len(other[0])))
        missing = others[: max(0, cut.num_hypotheses - len(whole))]
        hypotheses = tuple(whole) or tuple(each for _, each in others)
        return result._replace(hypotheses=hypotheses), {n for lost, _ in missing for n in lost}

    def _without_afterthoughts(self, found: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
        """Those that have no more sentences than the first: of a term that the model has no place
        for, a search makes one of its own, behind the end. Nobody has asked for these terms."""
        texts = [self._tokenizer.detokenize(each.token_ids) for each in found]
        ends = [len(_SENTENCE_END.findall(text)) for text in texts]
        return tuple(each for each, count in zip(found, ends, strict=True) if count <= ends[0])

    def _num_written(self, terms: Sequence[TermMatch], hypothesis: Hypothesis) -> int:
        return num_written(terms, self._tokenizer.detokenize(hypothesis.token_ids))

    def traced(
        self, cut: PreparedText, number: int, hypothesis: Hypothesis
    ) -> tuple[list[PhraseSpan], TermPlaces]:
        """Where a segment's translation has the phrases of its runs, and where its terms."""
        segment, token_ids = cut.text.segments[number], hypothesis.token_ids
        num_runs = len(segment.reading.runs) if segment.reading is not None else 0
        spans = trace(token_ids, cut.options[number])
        of_runs = [span for span in spans if span.number < num_runs]
        if not (terms := cut.terms[number]):
            return of_runs, TermPlaces([], [])
        searched = cut.term_phrases.get(number, ())
        as_said = not searched and all(term.said is not None for term in terms)
        if as_said and self._num_written(terms, hypothesis) == len(terms):
            return of_runs, TermPlaces([], [])
        places = term_places(
            terms,
            source_spans(segment, cut.encoder),
            self.attended(hypothesis),
            TargetText(*target_spans(self._tokenizer, token_ids)),
            [(span.begin, span.end) for span in of_runs],
            searched={
                searched[span.number - num_runs]: (span.begin, span.end)
                for span in spans
                if span.number >= num_runs
            },
        )
        return of_runs, places

    def attended(self, hypothesis: Hypothesis) -> Sequence[int]:
        """The place in the source of each of a hypothesis' tokens."""
        shifted = self._alignment_shifted
        return tokens_attended(hypothesis.attended, len(hypothesis.token_ids), shifted=shifted)

    def _with_phrases(self, cut: PreparedText, number: int, lost: set[int]) -> PreparedText | None:
        """A text with the phrases of lost terms; with those of all, if that was not enough; None if
        all have some."""
        terms, before = cut.terms[number], cut.term_phrases.get(number, ())
        wanted = sorted(lost) if not before else range(len(terms))
        phrases = self._phrases(cut, number)
        chosen = tuple(term for term in wanted if phrases[term].forms)
        if not chosen or chosen == before:
            return None
        options = list(cut.options)
        kept = options[number].phrases[: len(options[number].phrases) - len(before)]
        options[number] = replace(
            options[number], phrases=(*kept, *(phrases[term] for term in chosen))
        )
        return replace(cut, options=options, term_phrases={**cut.term_phrases, number: chosen})

    def _phrases(self, cut: PreparedText, number: int) -> list[Phrase]:
        """A phrase for each term of a segment."""
        segment = cut.text.segments[number]
        spans = source_spans(segment, cut.encoder)
        read = segment.text if segment.reading is None else segment.reading.text
        marks = (mark for mark in cut.reader.marks if mark not in read)
        phrases = []
        for term in cut.terms[number]:
            forms = self._forms(term)
            if not forms and (mark := next(marks, None)) is not None:
                # The vocabulary cannot write it: a mark does, until the term is put in its place.
                forms = self._tokenizer.forms(mark)
            places = overlapping(spans, term.begin, term.end)
            phrases.append(Phrase(forms, places if places else None))
        return phrases

    def _forms(self, term: TermMatch) -> tuple[tuple[int, ...], ...]:
        texts = [
            cased(form, term.case, first=first and not term.entry.case_sensitive)
            for form in term.entry.targets
            for first in (False, True)
        ]
        return tuple(dict.fromkeys(ids for text in texts for ids in self._tokenizer.forms(text)))


def _merged(first: SequenceResult, second: SequenceResult) -> SequenceResult:
    """Two results for a source: the hypotheses of the first one, then those of the second."""
    known = {each.token_ids for each in first.hypotheses}
    more = (each for each in second.hypotheses if each.token_ids not in known)
    return second._replace(
        hypotheses=(*first.hypotheses, *more),
        queue_seconds=first.queue_seconds + second.queue_seconds,
        encode_seconds=first.encode_seconds + second.encode_seconds,
        decode_seconds=first.decode_seconds + second.decode_seconds,
        time_to_first_token_seconds=first.time_to_first_token_seconds,
    )
