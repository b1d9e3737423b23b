"""Texts into segments, each with what the search for its target is bound to."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING

from model.config import GenerationConfig, TransformerConfig
from model.decoding.phrases import GuardedTokens, Phrase
from model.decoding.run_phrases import guarded_tokens, phrases_of
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.errors import DeadlineExceededError, InvalidRequestError, QueueFullError
from model.text.banned_terms import BannedTerms
from model.text.glossary import Glossary, TermMatch
from model.text.kept_strings import KeptStrings, kept_spans
from model.text.known_terms import KnownTerms
from model.text.languages import Pair
from model.text.numbers.words import names_amount
from model.text.runs import Reading, RunReader
from model.text.segmentation import Segment, SegmentedText, Segmenter
from model.text.target_prefix import Seam
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.text.words import overlapping
from model.text_options import TextOptions

if TYPE_CHECKING:
    from model.checkpoints.manifest import ModelMetadata
    from model.checkpoints.shortlist import Shortlist

__all__ = ["CallOptions", "PreparedText", "Preprocessor", "check_texts", "refuse_single_text"]

_MOST_PAIRS = 256
"""Pairs of languages whose segmenters are kept; to make one takes microseconds."""

_MOST_GLOSSARIES = 16
"""Glossaries that are kept, by their entries, as they are searched with."""

_MOST_BANNED = 1000
"""Banned terms of which the token sequences are kept."""


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """How the texts of a call are cut."""

    segmenter: Segmenter
    apart: Segmenter
    """The same for texts in which amounts are apart from their signs and words."""
    prefix: tuple[int, ...]
    """The first tokens of every target."""
    encoder: SourceEncoder
    """What makes ids of them."""
    aligned: bool
    """Whether words are to be aligned."""
    text_options: TextOptions
    glossary: Glossary | None
    """The terms that are looked for."""
    known_terms: KnownTerms | None
    """What finds terms that are in no glossary; None: they are not looked for."""
    num_hypotheses: int
    limit_repeats: bool
    """Whether no translation is a loop."""
    target: str
    """Code of the language into which they are translated."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Token sequences that no target has."""

    def for_text(self, number: int, text: str) -> CallOptions:
        """For that one alone of the call's texts.

        Raises:
            InvalidRequestError: it is no string, or the options do not fit it.
        """
        check_texts([text])
        options = self.text_options
        if number and options.target_prefix:
            options.check_texts([text] * (number + 1))
        if options.keep_spans or options.parted_amounts:
            options = options.for_texts([number])
            options.check_texts([text])
            return replace(self, text_options=options)
        return self


@dataclass(frozen=True, kw_only=True)
class PreparedText:
    """A text in segments, and what the search for each is bound to."""

    text: SegmentedText
    options: list[SequenceOptions]
    reader: RunReader
    """What has read the segments."""
    terms: list[tuple[TermMatch, ...]]
    """Those of each segment."""
    encoder: SourceEncoder
    """What has made ids of the segments."""
    aligned: bool
    """Whether words are to be aligned."""
    num_hypotheses: int
    limit_repeats: bool
    """Whether no translation is a loop."""
    origins: Sequence[int] | None
    """Where in the text each character of what was cut is from; None: at its place."""
    kept: KeptStrings
    """The text, and what its characters stand for."""
    given: str = ""
    """What stands before the translation of the first segment, in place of all before it."""
    num_given: int = 0
    """Characters of the source that it stands for, of what is not translated any more."""
    term_phrases: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By segments that are searched for again, the terms whose phrases are behind those of runs."""
    seam: Seam | None = None
    """How the first segment's target begins, until it is known how it goes on."""


class Preprocessor:
    """What makes segments of the texts of calls.

    Args:
        tokenizer: the model's.
        metadata: names and languages.
        shortlist: the likely targets of each source id; None predicts any.
        config: of the model.
        max_source_tokens: longest segment, the end token included.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        metadata: ModelMetadata,
        shortlist: Shortlist | None,
        config: TransformerConfig,
        max_source_tokens: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._shortlist = shortlist
        self._config = config
        # Of what holds no preprocessor: one that is let go gives its memory back at once.
        self._segmenter = lru_cache(_MOST_PAIRS)(
            partial(_segmenter, tokenizer, metadata, max_source_tokens)
        )
        self._encoder = lru_cache(_MOST_PAIRS)(tokenizer.source_encoder)
        self._known_terms = lru_cache(_MOST_PAIRS)(_known_terms)
        self._glossary = lru_cache(_MOST_GLOSSARIES)(Glossary)
        self._banned_sequences = lru_cache(_MOST_BANNED)(BannedTerms(tokenizer).sequences)
        self._guarded = lru_cache(2)(
            partial(guarded_tokens, tokenizer, placeholders=metadata.placeholders)
        )

    def call_options(
        self,
        pair: Pair,
        return_alignments: bool,
        text_options: TextOptions,
        generation: GenerationConfig,
    ) -> CallOptions:
        """How the texts of a call are cut."""
        return CallOptions(
            segmenter=self._segmenter(pair, _may_join_amounts(text_options)),
            apart=self._segmenter(pair, False),
            prefix=self._tokenizer.target_prefix(pair),
            encoder=self._encoder(pair),
            aligned=return_alignments,
            text_options=text_options,
            glossary=self._glossary(text_options.glossary) if text_options.glossary else None,
            # Of what is given it is not known for which of them it stands.
            known_terms=None if text_options.target_prefix else self._known_terms(pair),
            num_hypotheses=generation.num_hypotheses,
            limit_repeats=generation.limit_repeats,
            target=pair.target,
        )

    def prepared(
        self,
        texts: Sequence[str],
        cut: CallOptions,
        deadline: float | None,
        *,
        most: int,
        room: Callable[[], int],
    ) -> Iterator[PreparedText | None]:
        """Each text in segments, and None after each step towards it.

        Args:
            texts: of one call.
            cut: how they are cut.
            deadline: of the call.
            most: sentences that the engine can ever queue.
            room: how many it could queue now.

        Raises:
            InvalidRequestError: a text is no valid Unicode, or there are more sentences than
                `most`.
            QueueFullError: there are more than there is room for.
            DeadlineExceededError: the deadline has passed.
        """
        if not room():
            raise QueueFullError(f"of {most} sentences that may wait, there is room for none")
        cut = yield from self._with_banned(cut)
        num_sentences = 0
        for index, text in enumerate(texts):
            pieces: list[Segment | str] = []
            options: list[SequenceOptions] = []
            terms: list[tuple[TermMatch, ...]] = []
            kept = _kept_strings(index, text, cut.text_options)
            is_parted = index in cut.text_options.parted_amounts
            segmenter = cut.apart if is_parted else cut.segmenter
            for piece in _pieces(segmenter, index, kept.text):
                pieces.append(piece)
                if isinstance(piece, Segment):
                    num_sentences += 1
                    terms.append(_terms(piece, cut))
                    options.append(self._options(piece, cut, aligned=bool(terms[-1])))
                _check_room(num_sentences, most, room(), deadline)
                yield None
            yield PreparedText(
                text=SegmentedText.of(pieces),
                options=options,
                reader=cut.segmenter.reader,
                terms=terms,
                encoder=cut.encoder,
                aligned=cut.aligned,
                num_hypotheses=cut.num_hypotheses,
                limit_repeats=cut.limit_repeats,
                origins=cut.segmenter.origins(kept.text) if cut.aligned else None,
                kept=kept,
            )

    def _with_banned(self, cut: CallOptions) -> Generator[None, None, CallOptions]:
        """`cut` with what no target has, after a None for each term."""
        banned: list[tuple[int, ...]] = []
        for term in cut.text_options.banned_terms:
            banned += self._banned_sequences(term)
            yield None
        return replace(cut, banned=tuple(banned)) if banned else cut

    def _options(self, segment: Segment, cut: CallOptions, *, aligned: bool) -> SequenceOptions:
        encoder, token_ids, reading = cut.encoder, segment.token_ids, segment.reading
        phrases: tuple[Phrase, ...] = ()
        if reading is not None:
            phrases = phrases_of(reading, token_ids, encoder, self._tokenizer)
        aligned = aligned or cut.aligned
        if self._shortlist is None and not (cut.prefix or aligned or phrases or cut.banned):
            return NO_OPTIONS
        shortlist = among = None
        if self._shortlist is not None:
            shortlist = self._shortlist.candidates(token_ids, self._config)
        if aligned or any(phrase.places is not None for phrase in phrases):
            among = range(len(encoder.before), len(token_ids) - len(encoder.after))
        return SequenceOptions(
            target_prefix=cut.prefix,
            shortlist=shortlist,
            align_to=among,
            phrases=phrases,
            guarded=self._guarded_for(reading) if reading and phrases else None,
            banned=cut.banned,
        )

    def _guarded_for(self, reading: Reading) -> GuardedTokens | None:
        """What only a phrase of a sentence may write."""
        vocab_size = self._config.tgt_vocab_size
        return self._guarded(vocab_size, digits=_has_digits(reading))


def _check_room(num_sentences: int, most: int, left: int, deadline: float | None) -> None:
    """Raises what `Preprocessor.prepared` does if there is no room, or no time, for as many."""
    if num_sentences > most:
        # The engine would say that its queue is full, and it would say so for ever.
        raise InvalidRequestError(
            f"`texts` must have at most {most} sentences in all, but have more"
        )
    if num_sentences > left:
        raise QueueFullError(
            f"of {most} sentences that may wait, there is room for {left}, but the texts have more"
        )
    if deadline is not None and time.monotonic() > deadline:
        raise DeadlineExceededError("the deadline passed while the texts were cut")


def check_texts(texts: Sequence[str]) -> None:
    """Raises InvalidRequestError if they are not a list of strings."""
    refuse_single_text(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"`texts[{index}]` must be a string, but is {type(text).__name__}"
            )


def refuse_single_text(texts: Iterable[str]) -> None:
    """Raises InvalidRequestError if it is one string."""
    # A string is an iterable of strings too, and would be translated letter by letter.
    if isinstance(texts, str):
        raise InvalidRequestError("`texts` must be a list of texts, but is a single one")


def _has_digits(reading: Reading) -> bool:
    """Whether a translation has digits, which must be those of its source."""
    return any(map(str.isdecimal, chain.from_iterable(chain.from_iterable(reading.forms))))


def _kept_strings(index: int, text: str, options: TextOptions) -> KeptStrings:
    """The text of a number, with what is to be kept in it."""
    if not (options.keep or options.keep_spans):
        return KeptStrings(text, {})
    spans = [(span.begin, span.end) for span in options.keep_spans if span.text == index]
    return KeptStrings.of(text, kept_spans(text, options.keep, spans))


def _terms(segment: Segment, cut: CallOptions) -> tuple[TermMatch, ...]:
    """The terms of a segment, outside of what the encoder reads marks for."""
    if cut.glossary is None and cut.known_terms is None:
        return ()
    runs = () if segment.reading is None else segment.reading.runs
    taken = [(run.begin, run.end) for run in runs]
    terms = () if cut.glossary is None else cut.glossary.find(segment.text, taken)
    if cut.known_terms is None or not (found := cut.known_terms.find(segment.text, taken)):
        return terms
    own = [(term.begin, term.end) for term in terms]
    banned = tuple(map(str.casefold, cut.text_options.banned_terms))
    known = [
        each
        for each in found
        if not overlapping(own, each.begin, each.end)
        # What nobody asked for must not say what somebody does not want.
        and not any(form.casefold().startswith(banned) for form in each.entry.targets)
    ]
    return tuple(sorted([*terms, *known], key=lambda term: term.begin))


def _known_terms(pair: Pair) -> KnownTerms:
    return KnownTerms(pair.source, pair.target)


def _may_join_amounts(options: TextOptions) -> bool:
    """Whether amounts of money may be one with their words: not where these are asked for, or not
    wanted."""
    asked = (*options.banned_terms, *(entry.source for entry in options.glossary))
    return not any(map(names_amount, asked))


def _segmenter(
    tokenizer: Tokenizer,
    metadata: ModelMetadata,
    max_tokens: int,
    pair: Pair,
    joined_amounts: bool,
) -> Segmenter:
    return Segmenter(
        tokenizer,
        language=pair.source,
        target=pair.target,
        max_tokens=max_tokens,
        placeholders=metadata.placeholders,
        joined_amounts=joined_amounts,
    )


def _pieces(segmenter: Segmenter, index: int, text: str) -> Iterator[Segment | str]:
    try:
        yield from segmenter.pieces(text)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"`texts[{index}]`: {error}") from error
