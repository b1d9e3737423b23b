"""Text in, text out: sentences become ids, go through the engine, and become sentences again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import accumulate, chain, islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from model.batch_turns import BatchTurns
from model.checkpoints.embedded import DEFAULT, model_directory
from model.config import EngineConfig, GenerationConfig, Priority
from model.decoding.phrases import GuardedTokens, Phrase, trace
from model.decoding.run_phrases import guarded_tokens, phrases_of
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.documents import Documents, WrappedTexts, read_texts
from model.errors import (
    DeadlineExceededError,
    InvalidOptionError,
    InvalidRequestError,
    QueueFullError,
    UnsupportedLanguageError,
)
from model.network.attention_maps import map_size
from model.sentence_attention import sentence_attention
from model.text.alignment import (
    aligned_words,
    source_spans,
    target_spans,
    tokens_attended,
)
from model.text.alternatives import best_sums, different
from model.text.banned_terms import BannedTerms
from model.text.glossary import Glossary, TermMatch
from model.text.kept_strings import KeptStrings, kept_spans
from model.text.languages import Pair, listed
from model.text.runs import Reading, Rendered, Replaced, RunReader
from model.text.segmentation import Segment, SegmentedText, Segmenter
from model.text.sentences import split_sentences
from model.text.target_prefix import PrefixTokenizer, Seam
from model.text.terms import TargetText, num_written, placed_terms
from model.text.tokenizer import SourceEncoder, Tokenizer
from model.text.word_links import WordLink, kept_words, moved
from model.text_options import NO_TEXT_OPTIONS, TextFormat, TextOptions
from model.translation import (
    FinishReason,
    SentenceAttention,
    Translation,
    TranslationHypothesis,
)

if TYPE_CHECKING:
    from model.checkpoints.manifest import ModelMetadata
    from model.checkpoints.shortlist import Shortlist
    from model.decoding.search import Hypothesis
    from model.engine.engine import Engine
    from model.engine.sequence import SequenceResult
    from model.network.weights import Weights

__all__ = ["Translator"]

_SLICE_SECONDS = 0.002
"""For how long texts are cut, or put together, before the event loop does other things."""

_WORDS_TOGETHER = 500
"""Words that are kept and aligned in less than a slice."""

_AT_ONCE = 500
"""Characters of documents that are read, or written, in about a slice."""

_MOST_PAIRS = 256
"""Pairs of languages whose segmenters are kept; to make one takes microseconds."""

_MOST_GLOSSARIES = 64
"""Glossaries that are kept, by their entries, as they are searched with."""

_MOST_BANNED = 1000
"""Banned terms of which the token sequences are kept."""

_MOST_SCORE_FOR_TERMS = 1.0
"""Most of its score that a hypothesis may be worse than the best one, to be taken for its terms."""

_SENTENCE_ENDS = tuple(".!?\u2026\u3002\uff01\uff1f")

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class _Cutter:
    """How the texts of a call are cut."""

    segmenter: Segmenter
    prefix: tuple[int, ...]
    """The first tokens of every target."""
    encoder: SourceEncoder
    """What makes ids of them."""
    aligned: bool
    """Whether words are to be aligned."""
    text_options: TextOptions
    glossary: Glossary | None
    """The terms that are looked for."""
    num_hypotheses: int
    target: str
    """Code of the language into which they are translated."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Token sequences that no target has."""


@dataclass(frozen=True, kw_only=True)
class _Cut:
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
    origins: Sequence[int] | None
    """Where in the text each character of what was cut is from; None: at its place."""
    kept: KeptStrings
    """The text, and what its characters stand for."""
    given: str = ""
    """What stands before the translation of the first segment, in place of all before it."""
    num_given: int = 0
    """Characters of the source that it stands for, of what is not translated any more."""
    seam: Seam | None = None
    """How the first segment's target begins, until it is known how it goes on."""


@dataclass(frozen=True, kw_only=True)
class _InFlight:
    """A text on its way through the engine."""

    text: _Cut
    futures: list[Future[SequenceResult]]

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.futures)


class Translator:
    """A model, its tokenizer and its engine. Safe to use from several threads and event loops.

    Args:
        engine: translates token ids; belongs to the translator, which closes it.
        tokenizer: the model's.
        metadata: names and languages.
        shortlist: the likely targets of each source id; None predicts any.
        weights: of the model, for `attention_async`.
        generation: how to search when a call does not say.
        device: where the engine computes, for information.
        dtype: in what type it computes, for information.
        num_parameters: of the model, for information.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        *,
        metadata: ModelMetadata,
        shortlist: Shortlist | None = None,
        weights: Weights | None = None,
        generation: GenerationConfig,
        device: str,
        dtype: str,
        num_parameters: int,
    ) -> None:
        self.engine = engine
        self.name = metadata.name
        self.languages = metadata.languages
        self.generation = generation
        self.device = device
        self.dtype = dtype
        self.num_parameters = num_parameters
        self._tokenizer = tokenizer
        trained = metadata.max_source_tokens or engine.max_source_tokens
        self.max_source_tokens = min(trained, engine.max_source_tokens)
        self._shortlist = shortlist
        self._weights = weights
        self._attention_thread = ThreadPoolExecutor(1, thread_name_prefix="attention")
        """Begins with the first call; one sentence at a time, for weights are read anew for each.
        """
        # Of what holds no translator: one that is let go gives its memory back at once.
        self._segmenter = lru_cache(_MOST_PAIRS)(
            partial(_segmenter, tokenizer, metadata, self.max_source_tokens)
        )
        self._glossary = lru_cache(_MOST_GLOSSARIES)(Glossary)
        self._banned_sequences = lru_cache(_MOST_BANNED)(BannedTerms(tokenizer).sequences)
        self._prefix_tokenizer = cache(partial(PrefixTokenizer, tokenizer))
        self._guarded = lru_cache(2)(
            partial(guarded_tokens, tokenizer, placeholders=metadata.placeholders)
        )
        self._batch_turns = BatchTurns(
            engine.max_sources(Priority.BATCH), lambda: engine.wants_batch
        )
        self._turns: WeakValueDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakValueDictionary()
        )
        """Who may go on for a slice on each event loop; kept alive by those who wait for it."""

    @classmethod
    def load(
        cls,
        source: str | Path = DEFAULT,
        engine: EngineConfig | None = None,
        *,
        generation: Mapping[str, Any] | None = None,
    ) -> Self:
        """Loads a model and starts an engine for it.

        Args:
            source: a model directory, or the name of a model that comes with the project or that
                the user has imported.
            engine: how the engine is run; None takes what suits the machine.
            generation: fields of GenerationConfig, instead of the model's own defaults.

        Raises:
            CheckpointError: the directory holds no model, or it is damaged.
            InvalidRequestError: the engine cannot run here as it is configured, or `generation` is
                out of bounds.
        """
        # Here, so that to know of this class costs little.
        from model.checkpoints.checkpoint import check_checkpoint, stored_weights
        from model.checkpoints.shortlist import read_shortlist
        from model.engine.backends import check_device
        from model.engine.engine import Engine
        from model.network.shapes import num_parameters

        config = engine or EngineConfig()
        check_device(config)  # before a large file is read for nothing
        directory = model_directory(source)
        manifest, tokenizer = check_checkpoint(directory)
        search = manifest.generation.with_changes(generation or {})
        shortlist = None
        if manifest.metadata.shortlist and config.shortlist:
            shortlist = read_shortlist(directory, manifest.config)
        weights = stored_weights(directory, manifest.config)
        started = Engine(weights, config)
        return cls(
            started,
            tokenizer,
            metadata=manifest.metadata,
            shortlist=shortlist,
            weights=weights,
            generation=search,
            device=started.device,
            dtype=started.dtype,
            num_parameters=num_parameters(manifest.config),
        )

    def translate(
        self,
        texts: Sequence[str],
        *,
        source: str | None = None,
        target: str | None = None,
        generation: GenerationConfig | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        return_alignments: bool = False,
        text_options: TextOptions = NO_TEXT_OPTIONS,
    ) -> list[Translation]:
        """Translates texts together, and blocks until all are done or one fails.

        Args:
            texts: of any length; all their sentences join the engine's batch at once.
            source: code of their language; None is the model's only one, or any where the model
                need not be told.
            target: code of the language to translate into; None as with `source`.
            generation: how to search; None takes the model's own defaults.
            deadline: `time.monotonic()` seconds.
            priority: whether others go first where several wait.
            return_alignments: whether hypotheses tell which of their words is which of the text's.
            text_options: what is kept, which terms are used, how the translation begins.

        Returns:
            One translation for each text, in their order.

        Raises:
            UnsupportedLanguageError: the model does not translate from `source` into `target`.
            InvalidRequestError: a language must be given and is not, a text is no string or no
                valid Unicode, there are more sentences
                than the engine can ever queue (the rest of the texts is not looked at then), or its
                slots are too few for the beam.
            QueueFullError: the engine's waiting queue has no room for all sentences now, or is so
                long that the deadline would pass. What there is no room for is not cut.
            TooLongForDeadlineError: this much takes longer than until the deadline.
            DeadlineExceededError: the deadline passed; nothing of the call is left in the engine,
                and texts that are not cut yet are not cut any more.
            EngineDeadError: the engine has stopped.
        """
        _check_texts(texts)
        text_options.check_texts(texts)
        if text_options.format is not TextFormat.TEXT:
            documents = read_texts(texts, text_options)
            found = self.translate(
                documents.texts, source=source, target=target, generation=generation,
                deadline=deadline, priority=priority, return_alignments=True,
                text_options=documents.text_options,
            )  # fmt: skip
            return _values(documents.translations(found, return_alignments))
        cut = self._cutter(self.pair(source, target), return_alignments, text_options, generation)
        segmented = _values(self._segment(texts, cut, deadline, priority, self.engine.room))
        segmented = self._with_seam_now(segmented, generation, deadline, priority)
        futures = self._submit(segmented, generation, deadline, priority)
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return _values(self._assemble(segmented, _results(futures)))
        finally:
            self._cancel_unfinished(futures)

    async def translate_async(
        self,
        texts: Sequence[str],
        *,
        source: str | None = None,
        target: str | None = None,
        generation: GenerationConfig | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        return_alignments: bool = False,
        text_options: TextOptions = NO_TEXT_OPTIONS,
    ) -> list[Translation]:
        """`translate` for an event loop, which it never holds up.

        Texts are cut and put together on the event loop itself, some milliseconds at a time; large
        calls take turns, and small ones wait for nobody. When the task is cancelled, that ends with
        it. When it is cancelled or one sentence fails, the engine drops the call's other ones.

        Calls of Priority.BATCH are cut one after the other, and none before the engine needs more
        of them: until then they cost nothing, and as many may wait as sentences of theirs may.
        """
        _check_texts(texts)
        text_options.check_texts(texts)
        if text_options.format is not TextFormat.TEXT:
            size = sum(map(len, texts))
            documents = await self._aside(partial(read_texts, texts, text_options), size)
            found = await self.translate_async(
                documents.texts, source=source, target=target, generation=generation,
                deadline=deadline, priority=priority, return_alignments=True,
                text_options=documents.text_options,
            )  # fmt: skip
            steps = documents.translations(found, return_alignments)
            size *= max((len(each.hypotheses) for each in found), default=1)
            return await self._aside(partial(_values, steps), size)
        cut = self._cutter(self.pair(source, target), return_alignments, text_options, generation)
        if priority is Priority.BATCH:
            async with self._batch_turns.turn(deadline):
                segmented, futures = await self._begin(texts, cut, generation, deadline, priority)
        else:
            segmented, futures = await self._begin(texts, cut, generation, deadline, priority)
        try:
            await _settled(futures)
            results = _results(futures)
        finally:
            self._cancel_unfinished(futures)
        return await self._in_turns(self._assemble(segmented, results))

    async def attention_async(
        self,
        text: str,
        *,
        most_numbers: int,
        source: str | None = None,
        target: str | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> SentenceAttention:
        """Where each head attends for one sentence and its translation; never holds up the loop.

        The network runs once more for it, in float32, on a thread of its own.

        Args:
            text: one sentence that fits the model; what stands around it does not matter.
            most_numbers: that the maps may have in all.
            source, target, deadline, priority: as in `translate`.

        Raises:
            InvalidRequestError: the text is not one sentence, or the maps are larger.
            CheckpointError: the weights cannot be read any more.
            PolyheadError: as `translate` does.
        """
        if (weights := self._weights) is None:
            raise InvalidRequestError("the model must be read from a directory, but is not")
        _check_texts([text])
        cut = self._cutter(self.pair(source, target), False, NO_TEXT_OPTIONS, None)
        steps = self._segment([text], cut, deadline, priority, self.engine.room)
        [segmented] = await self._in_turns(steps)
        if len(segmented.options) != 1:
            raise InvalidRequestError(
                f"the text must be one sentence, but has {len(segmented.options)}"
            )
        [segment] = segmented.text.segments
        config = self.engine.model_config
        _check_size(map_size(config, len(segment.token_ids), 1), most_numbers)
        futures = self._submit([segmented], self.generation, deadline, priority)
        try:
            await _settled(futures)
            results = _results(futures)
        finally:
            self._cancel_unfinished(futures)
        written = results[0].hypotheses[0].token_ids
        target_ids = [config.bos_id, *segmented.options[0].target_prefix, *written]
        target_ids = target_ids[: config.max_positions]
        _check_size(map_size(config, len(segment.token_ids), len(target_ids)), most_numbers)
        [translation] = _values(self._assemble([segmented], results))
        return await asyncio.get_running_loop().run_in_executor(
            self._attention_thread,
            lambda: sentence_attention(
                weights,
                self._tokenizer,
                cut.encoder,
                segment,
                target_ids,
                translation,
                check=lambda: _check_deadline(deadline),
            ),
        )

    def translate_stream(
        self,
        texts: Iterable[str],
        *,
        source: str | None = None,
        target: str | None = None,
        generation: GenerationConfig | None = None,
        window: int = 256,
        return_alignments: bool = False,
        text_options: TextOptions = NO_TEXT_OPTIONS,
    ) -> Iterator[Translation]:
        """Translates texts as they come, in their order, with a bounded look-ahead.

        Closing the iterator drops what is in flight. Raises what `translate` raises.

        Args:
            texts: any number of them; read as room appears.
            source, target: codes of their language and of the one to translate into, as in
                `translate`.
            generation: how to search; None takes the model's own defaults.
            window: most texts in flight. Many keep the engine's batch full; with 1, each text is
                answered before the next is read.
            return_alignments, text_options: as in `translate`.
        """
        if window < 1:
            raise InvalidRequestError(f"`window` must be at least 1, but is {window}")
        _refuse_single_text(texts)
        if text_options.format is not TextFormat.TEXT:
            cutter = partial(self._cutter, self.pair(source, target), True, generation=generation)
            return self._stream_documents(
                _documents(texts, text_options), cutter, generation, window, return_alignments
            )
        cut = self._cutter(self.pair(source, target), return_alignments, text_options, generation)
        return self._stream(texts, cut, generation, window)

    def pair(self, source: str | None, target: str | None) -> Pair:
        """The pair of two codes in any letter case, as `translate` takes them.

        Raises:
            UnsupportedLanguageError: the model does not translate from one into the other.
            InvalidRequestError: the model must be told a language, has several, and is not told.
        """
        languages, told = self.languages, self._tokenizer.config
        source = _given("source", source, languages.sources, told.names_source)
        target = _given("target", target, languages.targets, told.names_target)
        if (found := languages.find(source, target)) is None:
            raise UnsupportedLanguageError(
                f"{self.name} translates {languages}, but not {source[:50]} to {target[:50]}"
            )
        return found

    def close(self) -> None:
        """Ends the engine; what is in flight fails."""
        self._attention_thread.shutdown(wait=False, cancel_futures=True)
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _begin(
        self,
        texts: Sequence[str],
        cut: _Cutter,
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> tuple[list[_Cut], list[Future[SequenceResult]]]:
        steps = self._segment(texts, cut, deadline, priority, self.engine.room)
        segmented = await self._in_turns(steps)
        seams = self._search_seam(segmented, generation, deadline, priority)
        try:
            await _settled(seams)
            segmented = self._with_seam(segmented, _results(seams))
        finally:
            self._cancel_unfinished(seams)
        return segmented, self._submit(segmented, generation, deadline, priority)

    async def _in_turns(self, steps: Iterator[_T | None]) -> list[_T]:
        """`_values` in slices; all but the first one take turns with those of other tasks."""
        values: list[_T] = []
        if _advance(steps, values):
            return values
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        while True:
            async with turn:
                await asyncio.sleep(0)  # what else the event loop has to do goes first
                if _advance(steps, values):
                    return values

    async def _aside(self, work: Callable[[], _T], size: int) -> _T:
        """Does work of so many characters; much of it in another thread, in turns with others."""
        if size <= _AT_ONCE:
            return work()
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with turn:
            return await asyncio.to_thread(work)

    def _segment(
        self,
        texts: Sequence[str],
        cut: _Cutter,
        deadline: float | None,
        priority: Priority,
        room: Callable[[Priority], int],
    ) -> Iterator[_Cut | None]:
        """Each text in segments, and None after each step towards it.

        Args:
            texts: of one call.
            cut: how they are cut.
            deadline: of the call.
            priority: of the call.
            room: how many sentences of a priority the engine could queue now.
        """
        most = self.engine.max_sources(priority)
        if not room(priority):
            raise QueueFullError(f"of {most} sentences that may wait, there is room for none")
        banned: list[tuple[int, ...]] = []
        for term in cut.text_options.banned_terms:
            banned += self._banned_sequences(term)
            yield None
        if banned:
            cut = replace(cut, banned=tuple(banned))
        num_sentences = 0
        for index, text in enumerate(texts):
            pieces: list[Segment | str] = []
            options: list[SequenceOptions] = []
            terms: list[tuple[TermMatch, ...]] = []
            kept = _kept_strings(index, text, cut.text_options)
            for piece in _pieces(cut.segmenter, index, kept.text):
                pieces.append(piece)
                if isinstance(piece, Segment):
                    num_sentences += 1
                    terms.append(_terms(piece, cut.glossary))
                    options.append(self._options(piece, cut, aligned=bool(terms[-1])))
                if num_sentences > most:
                    # The engine would say that its queue is full, and it would say so for ever.
                    raise InvalidRequestError(
                        f"`texts` must have at most {most} sentences in all, but have more"
                    )
                if num_sentences > (left := room(priority)):
                    raise QueueFullError(
                        f"of {most} sentences that may wait, there is room for {left}, but the "
                        "texts have more"
                    )
                if deadline is not None and time.monotonic() > deadline:
                    raise DeadlineExceededError("the deadline passed while the texts were cut")
                yield None
            whole = _Cut(
                text=SegmentedText.of(pieces),
                options=options,
                reader=cut.segmenter.reader,
                terms=terms,
                encoder=cut.encoder,
                aligned=cut.aligned,
                num_hypotheses=cut.num_hypotheses,
                origins=cut.segmenter.origins(kept.text) if cut.aligned else None,
                kept=kept,
            )
            yield self._with_prefix(whole, cut) if cut.text_options.target_prefix else whole

    def _cutter(
        self,
        pair: Pair,
        return_alignments: bool,
        text_options: TextOptions,
        generation: GenerationConfig | None,
    ) -> _Cutter:
        return _Cutter(
            segmenter=self._segmenter(pair),
            prefix=self._tokenizer.target_prefix(pair),
            encoder=self._tokenizer.source_encoder(pair),
            aligned=return_alignments,
            text_options=text_options,
            glossary=self._glossary(text_options.glossary) if text_options.glossary else None,
            num_hypotheses=(generation or self.generation).num_hypotheses,
            target=pair.target,
        )

    def _options(self, segment: Segment, cut: _Cutter, *, aligned: bool) -> SequenceOptions:
        encoder, token_ids, reading = cut.encoder, segment.token_ids, segment.reading
        phrases: tuple[Phrase, ...] = ()
        if reading is not None:
            phrases = phrases_of(reading, token_ids, encoder, self._tokenizer)
        aligned = aligned or cut.aligned
        if self._shortlist is None and not (cut.prefix or aligned or phrases or cut.banned):
            return NO_OPTIONS
        shortlist = among = None
        if self._shortlist is not None:
            shortlist = self._shortlist.candidates(token_ids, self.engine.model_config)
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
        vocab_size = self.engine.model_config.tgt_vocab_size
        return self._guarded(vocab_size, digits=_has_digits(reading))

    def _submit(
        self,
        texts: Sequence[_Cut],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[Future[SequenceResult]]:
        sources = [segment.token_ids for each in texts for segment in each.text.segments]
        if not sources:
            return []
        search = generation or self.generation
        # Of all that the beam has found, those are preferred that have the terms; and of several
        # asked for, those that differ in more than punctuation.
        whole_beam = replace(search, num_hypotheses=search.beam_size)
        has_terms = [
            bool(terms) or search.num_hypotheses > 1 for each in texts for terms in each.terms
        ]
        return self.engine.submit(
            sources,
            [whole_beam if each else search for each in has_terms] if any(has_terms) else search,
            options=[options for each in texts for options in each.options],
            deadline=deadline,
            priority=priority,
        )

    def _with_prefix(self, whole: _Cut, cut: _Cutter) -> _Cut:
        """A text whose translation begins with what is given.

        Where that has several sentences, as many of the text are not translated any more.
        """
        if not whole.text.segments:
            raise InvalidOptionError(
                "`target_prefix` must come with a text that is translated, but there is nothing to "
                "translate in it",
                "target_prefix",
            )
        given = cut.text_options.target_prefix
        *done, last = split_sentences(given, cut.target)
        if given[-1].isspace() and last.rstrip()[-1:] in _SENTENCE_ENDS:
            done, last = [*done, last], ""
        number = min(len(done), len(whole.text.segments) - 1)
        before = "".join(done[:number])
        last = given[len(before) :]
        text = whole.text
        kept = (*text.separators[: number + 1], *(each.text for each in text.segments[:number]))
        return replace(
            whole,
            text=SegmentedText(
                segments=text.segments[number:],
                separators=("", *text.separators[number + 1 :]),
                tail=text.tail,
            ),
            options=whole.options[number:],
            terms=whole.terms[number:],
            given=given,
            num_given=sum(map(len, kept)),
            seam=self._seam(last, text.segments[number].reading),
        )

    def _seam(self, begun: str, reading: Reading | None) -> Seam | None:
        """How the target of a segment begins whose text is `begun`."""
        if not begun.strip():
            return None
        if reading is not None and reading.all_caps:  # as the model writes it
            begun = begun[:1] + begun[1:].lower()
        return self._prefix_tokenizer().seam(begun)

    def _search_seam(
        self,
        texts: Sequence[_Cut],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[Future[SequenceResult]]:
        """The search for the token behind what is given, if it matters which one it is."""
        seam = texts[0].seam if texts else None
        if seam is None or seam.following is None:
            return []
        first, options = texts[0].text.segments[0], texts[0].options[0]
        following = np.union1d(seam.following, np.int32(self.engine.model_config.eos_id))
        prefix = options.target_prefix + seam.token_ids
        search = replace(
            generation or self.generation,
            beam_size=2,
            num_hypotheses=2,
            forced_end=False,
            max_new_tokens=len(prefix) + 1,
        )
        bound = SequenceOptions(
            target_prefix=prefix, shortlist=following.astype(np.int32), banned=options.banned
        )
        return self.engine.submit(
            [first.token_ids], search, options=[bound], deadline=deadline, priority=priority
        )

    def _with_seam(self, texts: list[_Cut], results: Sequence[SequenceResult]) -> list[_Cut]:
        """The texts, of which the first begins with its seam and the token that was found."""
        seam = texts[0].seam if texts else None
        if seam is None:
            return texts
        first, prefix, given = texts[0], seam.token_ids, texts[0].given
        found = (
            hypothesis.token_ids[0]
            for result in results
            for hypothesis in result.hypotheses
            if hypothesis.token_ids
        )
        token = next(found, None)
        if token is not None:
            [(surface, _)] = self._tokenizer.surfaces([token])
            prefix += (token,)
            more = surface[len(seam.rest) :]
            reading = first.text.segments[0].reading
            more = more.upper() if reading is not None and reading.all_caps else more
            given += more.lstrip() if given[-1].isspace() else more
        elif seam.rest:
            prefix = self._prefix_tokenizer().whole(given)
        options = first.options[0]
        begun = replace(options, target_prefix=options.target_prefix + prefix)
        first = replace(first, options=[begun, *first.options[1:]], given=given, seam=None)
        return [first, *texts[1:]]

    def _with_seam_now(
        self,
        texts: list[_Cut],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[_Cut]:
        """`_with_seam` when its search is done."""
        seams = self._search_seam(texts, generation, deadline, priority)
        try:
            wait(seams)
            return self._with_seam(texts, _results(seams))
        finally:
            self._cancel_unfinished(seams)

    def _cancel_unfinished(self, futures: Iterable[Future[SequenceResult]]) -> None:
        unfinished = [future for future in futures if not future.done()]
        if unfinished:
            self.engine.cancel(unfinished)

    def _stream(
        self, texts: Iterable[str], cut: _Cutter, generation: GenerationConfig | None, window: int
    ) -> Iterator[Translation]:
        in_flight: deque[_InFlight] = deque()
        try:
            for number, text in enumerate(texts):
                if number and cut.text_options.target_prefix:
                    cut.text_options.check_texts([text] * 2)
                in_flight.append(self._launch(text, cut, generation, in_flight))
                while in_flight and (len(in_flight) >= window or in_flight[0].done):
                    yield self._land(in_flight)
            while in_flight:
                yield self._land(in_flight)
        finally:
            self._cancel_unfinished(future for item in in_flight for future in item.futures)

    def _stream_documents(
        self,
        documents: Iterable[Documents | WrappedTexts],
        cutter: Callable[[TextOptions], _Cutter],
        generation: GenerationConfig | None,
        window: int,
        return_alignments: bool,
    ) -> Iterator[Translation]:
        for document in documents:
            cut = cutter(document.text_options)
            found = list(self._stream(document.texts, cut, generation, window))
            yield from _values(document.translations(found, return_alignments))

    def _launch(
        self,
        text: str,
        cut: _Cutter,
        generation: GenerationConfig | None,
        in_flight: Iterable[_InFlight],
    ) -> _InFlight:
        """Submits one text, once the engine's queue has room for it."""
        _check_texts([text])
        # Where there is no room now, this stream waits for it.
        steps = self._segment([text], cut, None, Priority.INTERACTIVE, self.engine.max_sources)
        segmented = _values(steps)
        segmented = self._with_seam_now(segmented, generation, None, Priority.INTERACTIVE)
        while True:
            try:
                futures = self._submit(segmented, generation, None, Priority.INTERACTIVE)
                return _InFlight(text=segmented[0], futures=futures)
            except QueueFullError:
                oldest = next((item for item in in_flight if not item.done), None)
                if oldest is None:
                    raise  # it is not this stream that fills the queue
                wait(oldest.futures, return_when=FIRST_EXCEPTION)

    def _land(self, in_flight: deque[_InFlight]) -> Translation:
        """Waits for the oldest text; it stays in flight until it has arrived."""
        oldest = in_flight[0]
        wait(oldest.futures, return_when=FIRST_EXCEPTION)
        [translation] = _values(self._assemble([oldest.text], _results(oldest.futures)))
        in_flight.popleft()
        return translation

    def _assemble(
        self,
        texts: Sequence[_Cut],
        results: Sequence[SequenceResult],
    ) -> Iterator[Translation | None]:
        """Each text's translation, and None after each step towards it."""
        remaining = iter(results)
        for each in texts:
            sequences = list(islice(remaining, len(each.options)))
            for translation in self._translation(each, sequences):
                yield translation and _shown(translation, each.kept)

    def _translation(
        self, cut: _Cut, results: Sequence[SequenceResult]
    ) -> Iterator[Translation | None]:
        text = cut.text
        if not results:
            kept: list[WordLink] = []
            for some in _kept(text.tail, 0, 0) if cut.aligned else ():
                kept += some
                yield None
            yield _untouched(text.tail, tuple(kept) if cut.aligned else None)
            return
        results = [*map(self._with_terms, cut.terms, results)]
        hypotheses: list[TranslationHypothesis] = []
        combined: list[list[Hypothesis]] = []
        for step in self._combined(results, cut.num_hypotheses):
            combined = step or combined
            yield None
        for chosen in combined:
            parts: list[str] = []
            for part in text.joined(self._translated(cut, chosen)):
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
        self, results: Sequence[SequenceResult], most: int
    ) -> Iterator[list[list[Hypothesis]] | None]:
        """The best hypotheses of a text, a hypothesis for each of its segments: None after each
        step towards them, and then they."""
        if most == 1:
            yield [[result.hypotheses[0] for result in results]]
            return
        segments: list[list[Hypothesis]] = []
        for result in results:
            texts = [self._tokenizer.detokenize(each.token_ids) for each in result.hypotheses]
            segments.append([result.hypotheses[number] for number in different(texts)])
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

    def _with_terms(self, terms: Sequence[TermMatch], result: SequenceResult) -> SequenceResult:
        """A result whose first hypotheses are those that say most of the terms as asked."""
        if not terms or len(found := result.hypotheses) == 1:
            return result

        def rank(hypothesis: Hypothesis) -> int:
            if hypothesis.score < found[0].score - _MOST_SCORE_FOR_TERMS:
                return 1
            return -num_written(terms, self._tokenizer.detokenize(hypothesis.token_ids))

        return replace(result, hypotheses=tuple(sorted(found, key=rank)))

    def _translated(self, cut: _Cut, chosen: Sequence[Hypothesis]) -> Iterator[str]:
        for number, hypothesis in enumerate(chosen):
            rendered = self._rendered(cut, number, hypothesis)
            if rendered is None:
                text = self._tokenizer.detokenize(hypothesis.token_ids).strip()
            else:
                text = rendered.text
            yield text if number else self._behind_given(cut, hypothesis) + text

    def _behind_given(self, cut: _Cut, hypothesis: Hypothesis) -> str:
        """What is given, with the space behind it."""
        given = cut.given
        if not given or given[-1].isspace() or not hypothesis.token_ids:
            return given
        begin = self._tokenizer.surfaces(hypothesis.token_ids[:1])[0][0]
        return given + " " * begin[:1].isspace()

    def _rendered(self, cut: _Cut, number: int, hypothesis: Hypothesis) -> Rendered | None:
        """A translation of a segment that is not as the model writes it; None of what is."""
        segment, token_ids = cut.text.segments[number], hypothesis.token_ids
        reading, spans, replaced = segment.reading, [], []
        if reading is not None:
            spans = trace(token_ids, cut.options[number])
        if terms := cut.terms[number]:
            placed = placed_terms(
                terms,
                source_spans(segment, cut.encoder),
                self._attended(hypothesis),
                TargetText(*target_spans(self._tokenizer, token_ids)),
                [(span.begin, span.end) for span in spans],
            )
            replaced = [
                Replaced((terms[each.number].begin, terms[each.number].end), *each[1:])
                for each in placed
            ]
            if replaced and reading is None:
                reading = Reading(segment.text, segment.text)
        if reading is None:
            return None
        return cut.reader.rendered(reading, token_ids, spans, replaced)

    def _attended(self, hypothesis: Hypothesis) -> Sequence[int]:
        """The place in the source of each of its tokens."""
        shifted = self.engine.model_config.alignment_shifted
        return tokens_attended(hypothesis.attended, len(hypothesis.token_ids), shifted=shifted)

    def _aligned(
        self,
        cut: _Cut,
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
                self._attended(found),
                self._rendered(cut, number, found),
            )
            yield moved(links, source, target)
            source, target = source + len(segment.text), target + len(translation)
        yield from _kept(text.tail, source, target)


def _has_digits(reading: Reading) -> bool:
    """Whether a translation has digits, which must be those of its source."""
    return any(map(str.isdecimal, chain.from_iterable(chain.from_iterable(reading.forms))))


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise InvalidRequestError(
            f"the maps of a sentence must have at most {most} numbers, but have {size}"
        )


def _check_deadline(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise DeadlineExceededError("the deadline passed before the attention was known")


def _kept(text: str, source: int, target: int) -> Iterator[list[WordLink]]:
    """The words of a kept part, some at a time, which begins at `source` and `target`."""
    links = kept_words(text)
    while some := moved(islice(links, _WORDS_TOGETHER), source, target):
        yield some


def _kept_strings(index: int, text: str, options: TextOptions) -> KeptStrings:
    """The text of a number, with what is to be kept in it."""
    if not (options.keep or options.keep_spans):
        return KeptStrings(text, {})
    spans = [(span.begin, span.end) for span in options.keep_spans if span.text == index]
    return KeptStrings.of(text, kept_spans(text, options.keep, spans))


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


def _terms(segment: Segment, glossary: Glossary | None) -> tuple[TermMatch, ...]:
    """The terms of a segment, outside of what the encoder reads marks for."""
    if glossary is None:
        return ()
    runs = () if segment.reading is None else segment.reading.runs
    return glossary.find(segment.text, [(run.begin, run.end) for run in runs])


def _segmenter(
    tokenizer: Tokenizer, metadata: ModelMetadata, max_tokens: int, pair: Pair
) -> Segmenter:
    return Segmenter(
        tokenizer,
        language=pair.source,
        target=pair.target,
        max_tokens=max_tokens,
        placeholders=metadata.placeholders,
    )


def _weights(results: Sequence[SequenceResult]) -> list[int]:
    # The best hypotheses' weights for all, so that scores fall with the rank. One that was cut off
    # with the end token, or behind what was given, has no token of its own.
    return [max(1, result.target_tokens) for result in results]


def _score(results: Sequence[SequenceResult], chosen: Sequence[Hypothesis]) -> float:
    weights = _weights(results)
    total = sum(weight * each.score for weight, each in zip(weights, chosen, strict=True))
    return total / sum(weights)


def _values(steps: Iterator[_T | None]) -> list[_T]:
    """All values of what says None after a step without one."""
    return [value for value in steps if value is not None]


def _advance(steps: Iterator[_T | None], values: list[_T]) -> bool:
    """Adds to `values` what comes within a slice of time; whether that was all."""
    end = time.monotonic() + _SLICE_SECONDS
    for value in steps:
        if value is not None:
            values.append(value)
        if time.monotonic() >= end:
            return False
    return True


def _given(name: str, code: str | None, codes: tuple[str, ...], told: bool) -> str:
    """A code, or the model's own where none is given."""
    if code is not None:
        return code
    if told and len(codes) > 1:
        raise InvalidRequestError(f"`{name}` must be one of {listed(codes)}, but is not given")
    return codes[0]


def _pieces(segmenter: Segmenter, index: int, text: str) -> Iterator[Segment | str]:
    try:
        yield from segmenter.pieces(text)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"`texts[{index}]`: {error}") from error


def _refuse_single_text(texts: Iterable[str]) -> None:
    # A string is an iterable of strings too, and would be translated letter by letter.
    if isinstance(texts, str):
        raise InvalidRequestError("`texts` must be a list of texts, but is a single one")


def _check_texts(texts: Sequence[str]) -> None:
    _refuse_single_text(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"`texts[{index}]` must be a string, but is {type(text).__name__}"
            )


def _documents(texts: Iterable[str], options: TextOptions) -> Iterator[Documents | WrappedTexts]:
    for text in texts:
        _check_texts([text])
        yield read_texts([text], options)


def _untouched(text: str, alignments: tuple[WordLink, ...] | None) -> Translation:
    return Translation(
        text=text,
        finish_reason=FinishReason.STOP,
        score=None,
        hypotheses=(TranslationHypothesis(text=text, score=0.0, alignments=alignments),),
    )


def _results(futures: Sequence[Future[SequenceResult]]) -> list[SequenceResult]:
    """The results of settled futures; the first error in their order, if there is one."""
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in futures]


async def _settled(futures: Sequence[Future[SequenceResult]]) -> None:
    """Returns when all futures have a result or one has an error; wakes the event loop only then.

    `asyncio.wrap_future` would wake it for every sentence.
    """
    if not futures:
        return
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()
    lock = threading.Lock()
    unfinished = len(futures)

    def on_done(future: Future[SequenceResult]) -> None:
        nonlocal unfinished
        with lock:
            unfinished -= 1
            last = unfinished == 0
        if last or future.cancelled() or future.exception() is not None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(settled.set)

    for future in futures:
        future.add_done_callback(on_done)
    await settled.wait()
