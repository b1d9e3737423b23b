"""What the engine has found for the segments of texts, as translations of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from model.decoding.search import Hypothesis
from model.decoding.token_ids import packed_ids
from model.loop_removal import without_loops
from model.preprocessing import PreparedText
from model.term_search import TermSearch
from model.text.alignment import aligned_words
from model.text.alternatives import best_sums, different
from model.text.detokenized import Detokenized
from model.text.kept_strings import KeptStrings
from model.text.loops import held_back
from model.text.number_order import in_order
from model.text.runs import Reading, Rendered, Replaced
from model.text.tokenizer import Tokenizer
from model.text.word_links import WordLink, kept_words, moved
from model.translation import FinishReason, Translation, TranslationHypothesis

if TYPE_CHECKING:
    from model.engine.sequence import SequenceResult

__all__ = ["Postprocessor"]

_WORDS_TOGETHER = 500
"""Words that are kept and aligned at a step."""

_UNREADABLE = "\ufffd"
"""What bytes become that are no character, such as the first ones of one."""


class Postprocessor:
    """What makes translations of the results of the search.

    Args:
        tokenizer: the model's.
        term_search: what has ranked the results, and knows where terms are.
    """

    def __init__(self, tokenizer: Tokenizer, term_search: TermSearch) -> None:
        self._tokenizer = tokenizer
        self._term_search = term_search

    def translations(
        self, texts: Sequence[PreparedText], results: Sequence[SequenceResult]
    ) -> Iterator[Translation | None]:
        """Each text's translation, and None after each step towards it."""
        remaining = iter(results)
        for each in texts:
            said = Detokenized(self._tokenizer)
            sequences = [
                self._without_loops(each, number, result, said)
                for number, result in enumerate(islice(remaining, len(each.options)))
            ]
            for translation in self._translation(each, sequences, said):
                yield translation and _shown(translation, each.kept)

    def segment(self, cut: PreparedText, number: int, result: SequenceResult) -> str | None:
        """What a text's translation has for one of its segments, but for strings that are kept;
        None if it is to be searched for again for its terms."""
        if cut.terms[number]:
            result, lost = self._term_search.ranked(cut, number, result)
            if lost:
                return None
        said = Detokenized(self._tokenizer)
        result = self._without_loops(cut, number, result, said)
        return self._translated_segment(cut, number, result.hypotheses[0], said)

    def begun(self, cut: PreparedText, number: int, token_ids: Sequence[int]) -> str:
        """What `segment` will begin with.

        Args:
            cut: the text.
            number: which of its segments.
            token_ids: what the target of the segment begins with, behind its prefix.
        """
        reading = cut.text.segments[number].reading
        if cut.terms[number] or cut.options[number].phrases or (reading and reading.runs):
            return ""
        hypothesis = Hypothesis(
            target=packed_ids(token_ids), score=0.0, log_prob=0.0, finish_reason=FinishReason.LENGTH
        )
        said = Detokenized(self._tokenizer)
        if cut.limit_repeats:
            hypothesis = self._without_loop(cut, number, hypothesis, said)
        text = self._translated_segment(cut, number, hypothesis, said)
        text = text.rstrip().rstrip(_UNREADABLE).rstrip()
        return text[: held_back(text)].rstrip() if cut.limit_repeats else text

    def _translation(
        self, cut: PreparedText, results: Sequence[SequenceResult], said: Detokenized
    ) -> Iterator[Translation | None]:
        text = cut.text
        if not results:
            kept: list[WordLink] = []
            for some in _kept(text.tail, 0, 0) if cut.aligned else ():
                kept += some
                yield None
            yield _untouched(text.tail, tuple(kept) if cut.aligned else None)
            return
        hypotheses: list[TranslationHypothesis] = []
        combined: list[list[Hypothesis]] = []
        for step in self._combined(cut, results, said):
            combined = step or combined
            yield None
        for chosen in combined:
            parts: list[str] = []
            for part in text.joined(self._translated(cut, chosen, said)):
                parts.append(part)
                yield None
            links: list[WordLink] = []
            for of_part in self._aligned(cut, chosen) if cut.aligned else ():
                links += of_part
                yield None
            hypotheses.append(
                TranslationHypothesis(
                    text="".join(parts),
                    score=_score(results, chosen),
                    alignments=_at_origins(links, cut.origins) if cut.aligned else None,
                )
            )
        reasons = {result.hypotheses[0].finish_reason for result in results}
        yield Translation(
            text=hypotheses[0].text,
            finish_reason=FinishReason.LENGTH
            if FinishReason.LENGTH in reasons
            else FinishReason.STOP,
            score=hypotheses[0].score,
            hypotheses=tuple(hypotheses),
            source_tokens=sum(result.source_tokens for result in results),
            target_tokens=sum(result.target_tokens for result in results),
            num_sentences=len(results),
            queue_seconds=max(result.queue_seconds for result in results),
            encode_seconds=max(result.encode_seconds for result in results),
            decode_seconds=max(result.decode_seconds for result in results),
            time_to_first_token_seconds=min(
                result.time_to_first_token_seconds for result in results
            ),
        )

    def _combined(
        self, cut: PreparedText, results: Sequence[SequenceResult], said: Detokenized
    ) -> Iterator[list[list[Hypothesis]] | None]:
        """The best hypotheses of a text, a hypothesis for each of its segments: None after each
        step towards them, and then they."""
        most = cut.num_hypotheses
        if most == 1:
            yield [[result.hypotheses[0] for result in results]]
            return
        segments: list[list[Hypothesis]] = []
        for number, result in enumerate(results):
            # What is replaced in them may have been all that differed.
            texts = [
                self._translated_segment(cut, number, each, said) for each in result.hypotheses
            ]
            segments.append([result.hypotheses[place] for place in different(texts)])
            yield None
        weights = _weights(results)
        scores = [
            # Those that have the terms stay first.
            [*accumulate((weight * each.score for each in segment), min)]
            for weight, segment in zip(weights, segments, strict=True)
        ]
        for choices in best_sums(scores, most):
            yield (
                None
                if choices is None
                else [
                    [segment[number] for segment, number in zip(segments, choice, strict=True)]
                    for choice in choices
                ]
            )

    def _translated(
        self, cut: PreparedText, chosen: Sequence[Hypothesis], said: Detokenized
    ) -> Iterator[str]:
        for number, hypothesis in enumerate(chosen):
            yield self._translated_segment(cut, number, hypothesis, said)

    def _translated_segment(
        self, cut: PreparedText, number: int, hypothesis: Hypothesis, said: Detokenized
    ) -> str:
        rendered = self._rendered(cut, number, hypothesis)
        text = said[hypothesis.token_ids] if rendered is None else rendered.text
        return text if number else self._behind_given(cut, hypothesis) + text

    def _without_loops(
        self, cut: PreparedText, number: int, result: SequenceResult, said: Detokenized
    ) -> SequenceResult:
        if not cut.limit_repeats:
            return result
        found = result.hypotheses
        hypotheses = tuple([self._without_loop(cut, number, each, said) for each in found])
        return result if hypotheses == found else result._replace(hypotheses=hypotheses)

    def _without_loop(
        self, cut: PreparedText, number: int, hypothesis: Hypothesis, said: Detokenized
    ) -> Hypothesis:
        text, options = cut.text.segments[number].text, cut.options[number]
        return without_loops(hypothesis, text, options, said)

    def _behind_given(self, cut: PreparedText, hypothesis: Hypothesis) -> str:
        """What is given, with the space behind it."""
        given = cut.given
        if not given or given[-1].isspace() or not hypothesis.target:
            return given
        begin = self._tokenizer.surfaces(hypothesis.token_ids[:1])[0][0]
        return given + " " * begin[:1].isspace()

    def _rendered(self, cut: PreparedText, number: int, hypothesis: Hypothesis) -> Rendered | None:
        """A translation of a segment that is not as the model writes it; None of what is."""
        segment, terms = cut.text.segments[number], cut.terms[number]
        reading = segment.reading
        if reading is None and not terms:
            return None
        spans, places = self._term_search.traced(cut, number, hypothesis)
        if reading is not None and len(spans) > 1 and hypothesis.attended:
            of_runs = [phrase.places for phrase in cut.options[number].phrases]
            reading = in_order(reading, spans, of_runs, self._term_search.attended(hypothesis))
        replaced = [
            Replaced((terms[each.number].begin, terms[each.number].end), *each[1:])
            for each in places.placed
        ]
        if reading is None:
            if not replaced:
                return None
            reading = Reading(segment.text, segment.text)
        return cut.reader.rendered(reading, hypothesis.token_ids, spans, replaced)

    def _aligned(
        self,
        cut: PreparedText,
        chosen: Sequence[Hypothesis],
    ) -> Iterator[list[WordLink]]:
        """The links of a text and its translation, part by part."""
        text = cut.text
        source = target = 0
        for number, (separator, segment, found) in enumerate(
            zip(text.separators, text.segments, chosen, strict=True)
        ):
            yield from _kept(separator, source, target)
            source, target = source + len(separator), target + len(separator)
            if number == 0 and cut.given:
                source, target = cut.num_given, len(self._behind_given(cut, found))
            translation, links = aligned_words(
                segment,
                cut.encoder,
                self._tokenizer,
                found.token_ids,
                self._term_search.attended(found),
                self._rendered(cut, number, found),
            )
            yield moved(links, source, target)
            source, target = source + len(segment.text), target + len(translation)
        yield from _kept(text.tail, source, target)


def _kept(text: str, source: int, target: int) -> Iterator[list[WordLink]]:
    """The words of a kept part, some at a time, which begins at `source` and `target`."""
    links = kept_words(text)
    while some := moved(islice(links, _WORDS_TOGETHER), source, target):
        yield some


def _shown(translation: Translation, kept: KeptStrings) -> Translation:
    """A translation with the strings that were to be kept."""
    if not kept.strings:
        return translation
    hypotheses = tuple(
        replace(
            each,
            text=kept.shown(each.text),
            alignments=each.alignments and kept.shown_links(each.alignments, each.text),
        )
        for each in translation.hypotheses
    )
    return replace(translation, text=kept.shown(translation.text), hypotheses=hypotheses)


def _at_origins(links: Sequence[WordLink], origins: Sequence[int] | None) -> tuple[WordLink, ...]:
    """The links with the places of the text that was given, where it was cut of another order."""
    if origins is None:
        return tuple(links)
    moved_links = (
        WordLink((origins[begin], origins[end - 1] + 1), target) for (begin, end), target in links
    )
    return tuple(sorted({link for link in moved_links if link.source[0] < link.source[1]}))


def _untouched(text: str, alignments: tuple[WordLink, ...] | None) -> Translation:
    return Translation(
        text=text,
        finish_reason=FinishReason.STOP,
        score=None,
        hypotheses=(TranslationHypothesis(text=text, score=0.0, alignments=alignments),),
    )


def _weights(results: Sequence[SequenceResult]) -> list[int]:
    # The best hypotheses' weights for all, so that scores fall with the rank. One that was cut off
    # with the end token, or behind what was given, has no token of its own.
    return [max(1, result.target_tokens) for result in results]


def _score(results: Sequence[SequenceResult], chosen: Sequence[Hypothesis]) -> float:
    weights = _weights(results)
    total = sum(weight * each.score for weight, each in zip(weights, chosen, strict=True))
    return total / sum(weights)
