"""Text in, text out: sentences become ids, go through the engine, and become sentences again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from model.batch_turns import BatchTurns
from model.checkpoints.embedded import DEFAULT, model_directory
from model.config import EngineConfig, GenerationConfig, Priority
from model.decided_texts import DecidedSegments, TextWriter
from model.documents import read_texts
from model.engine.futures import results, settled, wait
from model.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    RequestCancelledError,
    UnsupportedLanguageError,
)
from model.network.attention_maps import map_size
from model.postprocessing import Postprocessor
from model.prefix_search import PrefixSearch
from model.preprocessing import (
    CallOptions,
    PreparedText,
    Preprocessor,
    check_texts,
    refuse_single_text,
)
from model.segment_cache import CachedSearches, ModelCache
from model.sentence_attention import sentence_attention
from model.sentence_search import record_sentence
from model.term_search import TermPass, TermSearch
from model.text.languages import Pair, listed
from model.text.tokenizer import Tokenizer
from model.text_options import NO_TEXT_OPTIONS, TextFormat, TextOptions
from model.text_stream import TextStream
from model.time_slices import TimeSlices, values
from model.translation import (
    Progress,
    SentenceAttention,
    SentenceSearch,
    TextDelta,
    Translation,
)

if TYPE_CHECKING:
    from model.checkpoints.manifest import ModelMetadata
    from model.checkpoints.shortlist import Shortlist
    from model.engine.engine import Engine
    from model.engine.result_future import ResultFuture
    from model.engine.sequence import SequenceResult
    from model.network.weights import Weights

__all__ = ["Translator"]

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.01
"""Between two deltas of a call."""
_PAUSE_OF_OTHERS_SECONDS = 0.002
"""What each other call adds to it that is told of deltas: all of them together are told so often
at most. To tell one costs the processes on the way to its client half a millisecond, with which the
engine decodes some tokens."""


class Translator:
    """A model, its tokenizer and its engine. Safe to use from several threads and event loops.

    Args:
        engine: translates token ids; belongs to the translator, which closes it.
        tokenizer: the model's.
        metadata: names and languages.
        shortlist: the likely targets of each source id; None predicts any.
        weights: of the model, for `attention_async` and `search_async`.
        generation: how to search when a call does not say.
        cache: where results of segments are kept that may come again; None keeps none.
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
        cache: ModelCache | None = None,
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
        self._weights = weights
        self._reference_thread = ThreadPoolExecutor(1, thread_name_prefix="reference")
        """Begins with the first call; one sentence at a time, for weights are read anew for each.
        """
        self._preprocessor = Preprocessor(
            tokenizer, metadata, shortlist, engine.model_config, self.max_source_tokens
        )
        self._prefix_search = PrefixSearch(tokenizer, engine.model_config.eos_id)
        self._term_search = TermSearch(
            tokenizer, alignment_shifted=engine.model_config.alignment_shifted
        )
        self._searches = CachedSearches(engine, cache)
        self._postprocessor = Postprocessor(tokenizer, self._term_search)
        self._batch_turns = BatchTurns(
            engine.max_sources(Priority.BATCH), lambda: engine.wants_batch
        )
        self._slices = TimeSlices()
        self._num_told = 0
        """Calls that are told of deltas now."""

    @classmethod
    def load(
        cls,
        source: str | Path = DEFAULT,
        engine: EngineConfig | None = None,
        *,
        generation: Mapping[str, Any] | None = None,
        cache: ModelCache | None = None,
    ) -> Self:
        """Loads a model and starts an engine for it.

        Args:
            source: a model directory, or the name of a model that comes with the project or that
                the user has imported.
            engine: how the engine is run; None takes what suits the machine.
            generation: fields of GenerationConfig, instead of the model's own defaults.
            cache: as in the constructor; which model it is, is found here.

        Raises:
            CheckpointError: the directory holds no model, or it is damaged.
            InvalidRequestError: the engine cannot run here as it is configured, or `generation` is
                out of bounds.
        """
        # Here, so that to know of this class costs little.
        from model.checkpoints.checkpoint import check_checkpoint, stored_weights
        from model.checkpoints.checksums import fingerprint
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
        # Clients ask for greedy search instead.
        searches = search, replace(search, beam_size=1, num_hypotheses=1)
        started = Engine(weights, config, searches=searches, shortlisted=shortlist is not None)
        if cache is not None:
            computed = started.device, started.dtype, shortlist is not None
            cache = cache._replace(model=(fingerprint(directory), *computed))
        return cls(
            started,
            tokenizer,
            metadata=manifest.metadata,
            shortlist=shortlist,
            weights=weights,
            generation=search,
            cache=cache,
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
        use_cache: bool = True,
    ) -> list[Translation]:
        """Translates texts together, and blocks until all are done or one fails.

        Args:
            texts: of any length; all their sentences join the engine's batch at once.
            source: code of their language; None: the model's only one, or any if it need not know.
            target: code of the language to translate into; None as with `source`.
            generation: how to search; None takes the model's own defaults.
            deadline: `time.monotonic()` seconds.
            priority: whether others go first where several wait.
            return_alignments: whether hypotheses tell which of their words is which of the text's.
            text_options: what is kept, which terms are used, how the translation begins.
            use_cache: whether results may be those of equal segments before, where such are kept.

        Returns:
            One translation for each text, in their order.

        Raises:
            UnsupportedLanguageError: the model does not translate from `source` into `target`.
            InvalidRequestError: a language must be given and is not, a text is no string or no
                valid Unicode, there are more sentences than the engine can ever queue (the rest of
                the texts is not looked at then), or its slots are too few for the beam.
            QueueFullError: the engine's waiting queue has no room for all sentences now, or is so
                long that the deadline would pass. What there is no room for is not cut.
            TooLongForDeadlineError: this much takes longer than until the deadline.
            DeadlineExceededError: the deadline passed; nothing of the call is left in the engine,
                and texts that are not cut yet are not cut any more.
            EngineDeadError: the engine has stopped.
        """
        check_texts(texts)
        text_options.check_texts(texts)
        if text_options.format is not TextFormat.TEXT:
            documents = read_texts(texts, text_options)
            found = self.translate(
                documents.texts, source=source, target=target, generation=generation,
                deadline=deadline, priority=priority, return_alignments=True,
                text_options=documents.text_options, use_cache=use_cache,
            )  # fmt: skip
            return values(documents.translations(found, return_alignments))
        call = self._call(source, target, return_alignments, text_options, generation)
        prepared = values(self._prepared(texts, call, deadline, priority))
        prepared = self._continued(prepared, generation, deadline, priority)
        futures = self._submit(prepared, generation, deadline, priority, use_cache)
        done = self._with_terms(prepared, self._waited(futures), generation, deadline, priority)
        return values(self._postprocessor.translations(done.texts, done.results))

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
        use_cache: bool = True,
    ) -> list[Translation]:
        """`translate` for an event loop, which it never holds up.

        Texts are cut and put together on the event loop itself, some milliseconds at a time; large
        calls take turns, and small ones wait for nobody. When the task is cancelled, that ends with
        it. When it is cancelled or one sentence fails, the engine drops the call's other ones.

        Calls of Priority.BATCH are cut one after the other, and none before the engine needs more
        of them: until then they cost nothing, and as many may wait as sentences of theirs may.
        """
        check_texts(texts)
        text_options.check_texts(texts)
        if text_options.format is not TextFormat.TEXT:
            size = sum(map(len, texts))
            documents = await self._slices.aside(partial(read_texts, texts, text_options), size)
            found = await self.translate_async(
                documents.texts, source=source, target=target, generation=generation,
                deadline=deadline, priority=priority, return_alignments=True,
                text_options=documents.text_options, use_cache=use_cache,
            )  # fmt: skip
            steps = documents.translations(found, return_alignments)
            size *= max((len(each.hypotheses) for each in found), default=1)
            return await self._slices.aside(partial(values, steps), size)
        call = self._call(source, target, return_alignments, text_options, generation)
        prepared, futures, _ = await self._begin(
            texts, call, generation, deadline, priority, use_cache
        )
        done = await self._with_terms_async(
            prepared, await self._settled(futures), generation, deadline, priority
        )
        translations = self._postprocessor.translations(done.texts, done.results)
        return await self._slices.values(translations)

    async def stream_async(
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
        use_cache: bool = True,
    ) -> AsyncGenerator[Progress]:
        """`translate_async` that tells what is decided of the translations while it goes on.

        In reading order, sentence by sentence, and within a sentence without runs and terms: see
        `model.decided_texts`. Of a document with markup, block by block. Who reads slowly gets more
        at a time; closing the generator drops what is in flight.
        """
        check_texts(texts)
        text_options.check_texts(texts)
        if text_options.format is TextFormat.TEXT:
            call = self._call(source, target, return_alignments, text_options, generation)
            progress = self._progress(texts, call, generation, deadline, priority, use_cache)
            async with aclosing(progress):
                async for each in progress:
                    yield each
            return
        size = sum(map(len, texts))
        documents = await self._slices.aside(partial(read_texts, texts, text_options), size)
        call = self._call(source, target, True, documents.text_options, generation)
        writer = documents.writer()
        written = ["" for _ in texts]
        found: list[Translation] = []
        deltas = next(writer)
        progress = self._progress(documents.texts, call, generation, deadline, priority, use_cache)
        async with aclosing(progress):
            async for each in progress:
                for translation in each.done:
                    found.append(translation)
                    write = partial(writer.send, translation)
                    deltas += await self._slices.aside(write, len(translation.text))
                if deltas := tuple(delta for delta in deltas if delta.text):
                    for delta in deltas:
                        written[delta.number] += delta.text
                    yield Progress(deltas)
                deltas = ()
        steps = documents.translations(found, return_alignments)
        size *= max((len(each.hypotheses) for each in found), default=1)
        translations = await self._slices.aside(partial(values, steps), size)
        if [each.text for each in translations] != written:
            raise RuntimeError("the parts of a document must be what it is as a whole, but are not")
        yield Progress(done=tuple(translations))

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
        weights = self._own_weights()
        call = self._call(source, target, False, NO_TEXT_OPTIONS, None)
        prepared = await self._sentence(text, call, deadline, priority)
        [segment] = prepared.text.segments
        config = self.engine.model_config
        _check_size(map_size(config, len(segment.token_ids), 1), most_numbers)
        futures = self._submit([prepared], self.generation, deadline, priority)
        found = await self._settled(futures)
        written = found[0].hypotheses[0].token_ids
        target_ids = [config.bos_id, *prepared.options[0].target_prefix, *written]
        target_ids = target_ids[: config.max_positions]
        _check_size(map_size(config, len(segment.token_ids), len(target_ids)), most_numbers)
        [translation] = values(self._postprocessor.translations([prepared], found))
        return await self._by_reference(
            deadline,
            lambda check: sentence_attention(
                weights,
                self._tokenizer,
                call.encoder,
                segment,
                target_ids,
                translation,
                check=check,
            ),
        )

    async def search_async(
        self,
        text: str,
        *,
        most_candidates: int,
        source: str | None = None,
        target: str | None = None,
        generation: GenerationConfig | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> SentenceSearch:
        """The search for the translation of one sentence, with all that it looks at; never holds up
        the loop.

        It is made anew for that, in float32, on a thread of its own, without the engine.

        Args:
            text: one sentence that fits the model; what stands around it does not matter.
            most_candidates: that the search may look at.
            source, target, generation, deadline, priority: as in `translate`.

        Raises:
            InvalidRequestError: the text is not one sentence, or the search looks at more.
            CheckpointError: the weights cannot be read any more.
            PolyheadError: as `translate` does.
        """
        search = generation or self.generation
        weights = self._own_weights()
        call = self._call(source, target, False, NO_TEXT_OPTIONS, search)
        prepared = await self._sentence(text, call, deadline, priority)
        recorded = await self._by_reference(
            deadline,
            lambda check: record_sentence(
                weights,
                prepared.text.segments[0],
                search,
                prepared.options[0],
                most_candidates=most_candidates,
                check=check,
            ),
        )
        [translation] = values(self._postprocessor.translations([prepared], [recorded.result]))
        return recorded.told(self._tokenizer, search, translation)

    async def _by_reference(
        self, deadline: float | None, work: Callable[[Callable[[], None]], _T]
    ) -> _T:
        """What comes of work on the thread for it, which ends when nobody waits any more.

        Args:
            deadline: `time.monotonic()` seconds.
            work: is given what it must call now and then.
        """
        left = threading.Event()

        def check() -> None:
            if left.is_set():
                raise RequestCancelledError("nobody waits for it any more")
            if deadline is not None and time.monotonic() > deadline:
                raise DeadlineExceededError("the deadline passed before it was known")

        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._reference_thread, lambda: work(check))
        finally:
            left.set()

    def _own_weights(self) -> Weights:
        if self._weights is None:
            raise InvalidRequestError("the model must be read from a directory, but is not")
        return self._weights

    async def _sentence(
        self, text: str, call: CallOptions, deadline: float | None, priority: Priority
    ) -> PreparedText:
        """A text that is one sentence.

        Raises:
            InvalidRequestError: it is not.
        """
        check_texts([text])
        [prepared] = await self._slices.values(self._prepared([text], call, deadline, priority))
        if len(prepared.options) != 1:
            raise InvalidRequestError(
                f"the text must be one sentence, but has {len(prepared.options)}"
            )
        # A single search is shown, and what it has found.
        return replace(prepared, terms=[()])

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
        refuse_single_text(texts)
        if text_options.format is TextFormat.TEXT:
            call = self._call(source, target, return_alignments, text_options, generation)
            return self._stream(texts, call, generation, window)
        call = self._call(source, target, True, text_options, generation)
        return self._stream_documents(texts, call, generation, window, return_alignments)

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
        self._reference_thread.shutdown(wait=False, cancel_futures=True)
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

    def _call(
        self,
        source: str | None,
        target: str | None,
        return_alignments: bool,
        text_options: TextOptions,
        generation: GenerationConfig | None,
    ) -> CallOptions:
        return self._preprocessor.call_options(
            self.pair(source, target),
            return_alignments,
            text_options,
            generation or self.generation,
        )

    async def _progress(
        self,
        texts: Sequence[str],
        call: CallOptions,
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
        use_cache: bool,
    ) -> AsyncGenerator[Progress]:
        """What is decided of plain texts."""
        prepared, futures, decided = await self._begin(
            texts, call, generation, deadline, priority, use_cache, told=True
        )
        assert decided is not None
        deltas: list[TextDelta] = []
        done: list[Translation] = []
        self._num_told += 1
        try:
            first, pause = 0, 0.0
            for index, text in enumerate(prepared):
                last = first + len(text.options)
                of_text = futures[first:last]
                writer = TextWriter(
                    self._postprocessor, text, of_text, decided.token_ids[first:last]
                )
                first = last
                while True:
                    decided.look()
                    if decided.failed:
                        results([future for future in futures if future.done()])
                    if writer.done:
                        break
                    if more := "".join(await self._slices.values(writer.more())):
                        deltas.append(TextDelta(index, more))
                    if deltas or done:
                        yield Progress(tuple(deltas), tuple(done))
                        deltas, done = [], []
                        pause = _PAUSE_SECONDS + _PAUSE_OF_OTHERS_SECONDS * (self._num_told - 1)
                    await decided.wait(pause)
                found = await self._with_terms_async(
                    [text], results(of_text), generation, deadline, priority
                )
                steps = self._postprocessor.translations(found.texts, found.results)
                [translation] = await self._slices.values(steps)
                done.append(translation)
                if rest := writer.rest(translation.text):
                    deltas.append(TextDelta(index, rest))
            yield Progress(tuple(deltas), tuple(done))
        finally:
            self._num_told -= 1
            self._cancel_unfinished(futures)

    async def _begin(
        self,
        texts: Sequence[str],
        call: CallOptions,
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
        use_cache: bool,
        *,
        told: bool = False,
    ) -> tuple[list[PreparedText], list[ResultFuture[SequenceResult]], DecidedSegments | None]:
        """The texts in segments, what will come of each of these, and what is decided of them, if
        somebody is to be told."""
        async with AsyncExitStack() as turn:
            if priority is Priority.BATCH:
                await turn.enter_async_context(self._batch_turns.turn(deadline))
            prepared = await self._slices.values(self._prepared(texts, call, deadline, priority))
            searches = self._search_prefix(prepared, generation, deadline, priority)
            found = await self._settled(searches) if searches else []
            prepared = self._prefix_search.continued(prepared, found)
            decided = None
            if told:
                decided = DecidedSegments(sum(len(each.options) for each in prepared))
            futures = self._submit(prepared, generation, deadline, priority, use_cache, decided)
        return prepared, futures, decided

    def _prepared(
        self,
        texts: Sequence[str],
        call: CallOptions,
        deadline: float | None,
        priority: Priority,
    ) -> Iterator[PreparedText | None]:
        """Each text in segments, and None after each step towards it."""
        for prepared in self._preprocessor.prepared(
            texts,
            call,
            deadline,
            most=self.engine.max_sources(priority),
            room=lambda: self.engine.room(priority),
        ):
            yield prepared and self._prefix_search.begun(prepared, call)

    def _search_prefix(
        self,
        prepared: Sequence[PreparedText],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[ResultFuture[SequenceResult]]:
        search = self._prefix_search.search(prepared, generation or self.generation)
        if search is None:
            return []
        token_ids, generation, options = search
        return self.engine.submit(
            [token_ids], generation, options=[options], deadline=deadline, priority=priority
        )

    def _submit(
        self,
        texts: Sequence[PreparedText],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
        use_cache: bool = False,
        decided: DecidedSegments | None = None,
    ) -> list[ResultFuture[SequenceResult]]:
        sources = [segment.token_ids for each in texts for segment in each.text.segments]
        futures: list[ResultFuture[SequenceResult]] = []
        if sources:
            search = generation or self.generation
            # Of all that the beam has found, those are preferred that have the terms; and of
            # several asked for, those that differ in more than punctuation.
            several = search.num_hypotheses > 1
            whole = [several or bool(terms) for each in texts for terms in each.terms]
            searches: GenerationConfig | list[GenerationConfig] = search
            if any(whole):
                whole_beam = replace(search, num_hypotheses=search.beam_size)
                searches = [whole_beam if each else search for each in whole]
            futures = self._searches.submit(
                sources,
                searches,
                options=[options for each in texts for options in each.options],
                deadline=deadline,
                priority=priority,
                on_decided=decided.watchers if decided is not None else None,
                use_cache=use_cache,
            )
        if decided is not None:
            decided.watch(futures)
        return futures

    def _with_terms(
        self,
        texts: list[PreparedText],
        found: list[SequenceResult],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> TermPass:
        """What has been found, after further searches for terms."""
        searched: list[int] | None = None
        while True:
            [done] = values(self._term_search.steps(texts, found, searched))
            if not done.again:
                return done
            futures = self._submit_again(done, generation, deadline, priority)
            found = done.merged(self._waited(futures))
            texts, searched = done.texts, done.again

    async def _with_terms_async(
        self,
        texts: list[PreparedText],
        found: list[SequenceResult],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> TermPass:
        """`_with_terms` for an event loop."""
        searched: list[int] | None = None
        while True:
            [done] = await self._slices.values(self._term_search.steps(texts, found, searched))
            if not done.again:
                return done
            futures = self._submit_again(done, generation, deadline, priority)
            found = done.merged(await self._settled(futures))
            texts, searched = done.texts, done.again

    def _submit_again(
        self,
        done: TermPass,
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[ResultFuture[SequenceResult]]:
        search = generation or self.generation
        return self.engine.submit(
            done.sources,
            replace(search, num_hypotheses=search.beam_size),
            options=done.options,
            deadline=deadline,
            priority=priority,
            admitted=True,
        )

    def _waited(self, futures: list[ResultFuture[SequenceResult]]) -> list[SequenceResult]:
        try:
            wait(futures)
            return results(futures)
        finally:
            self._cancel_unfinished(futures)

    async def _settled(self, futures: list[ResultFuture[SequenceResult]]) -> list[SequenceResult]:
        """`_waited` for an event loop."""
        try:
            await settled(futures)
            return results(futures)
        finally:
            self._cancel_unfinished(futures)

    def _continued(
        self,
        prepared: list[PreparedText],
        generation: GenerationConfig | None,
        deadline: float | None,
        priority: Priority,
    ) -> list[PreparedText]:
        """The texts when it is known how a prefix goes on."""
        searches = self._search_prefix(prepared, generation, deadline, priority)
        found = self._waited(searches) if searches else []
        return self._prefix_search.continued(prepared, found)

    def _cancel_unfinished(self, futures: Iterable[ResultFuture[SequenceResult]]) -> None:
        unfinished = [future for future in futures if not future.done()]
        if unfinished:
            self.engine.cancel(unfinished)

    def _stream(
        self,
        texts: Iterable[str],
        call: CallOptions,
        generation: GenerationConfig | None,
        window: int,
    ) -> Iterator[Translation]:
        priority = Priority.INTERACTIVE
        most = self.engine.max_sources(priority)

        def prepare(number: int, text: str) -> list[PreparedText]:
            own = call.for_text(number, text)
            # Where there is no room now, this stream waits for it.
            steps = self._preprocessor.prepared([text], own, None, most=most, room=lambda: most)
            prepared = [self._prefix_search.begun(each, own) for each in values(steps)]
            return self._continued(prepared, generation, None, priority)

        def assemble(
            texts: list[PreparedText], found: list[SequenceResult]
        ) -> Iterator[Translation | None]:
            done = self._with_terms(texts, found, generation, None, priority)
            return self._postprocessor.translations(done.texts, done.results)

        stream = TextStream(
            prepare,
            lambda prepared: self._submit(prepared, generation, None, priority),
            assemble,
            self._cancel_unfinished,
        )
        return stream.translations(texts, window)

    def _stream_documents(
        self,
        texts: Iterable[str],
        call: CallOptions,
        generation: GenerationConfig | None,
        window: int,
        return_alignments: bool,
    ) -> Iterator[Translation]:
        for number, text in enumerate(texts):
            document = read_texts([text], call.for_text(number, text).text_options)
            own = replace(call, text_options=document.text_options)
            found = list(self._stream(document.texts, own, generation, window))
            yield from values(document.translations(found, return_alignments))


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise InvalidRequestError(
            f"the maps of a sentence must have at most {most} numbers, but have {size}"
        )


def _given(name: str, code: str | None, codes: tuple[str, ...], told: bool) -> str:
    """A code, or the model's own where none is given."""
    if code is not None:
        return code
    if told and len(codes) > 1:
        raise InvalidRequestError(f"`{name}` must be one of {listed(codes)}, but is not given")
    return codes[0]
