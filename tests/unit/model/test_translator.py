"""Text in, text out: order, white space, errors, cancellation; without and with a real engine."""

import asyncio
import hashlib
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pytest

from model.checkpoints.manifest import ModelMetadata
from model.config import EngineConfig, GenerationConfig, Priority, TransformerConfig
from model.decoding.search import FinishReason
from model.engine.engine import Engine
from model.errors import (
    CheckpointError,
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
)
from model.text.words import words
from model.translation import Translation, TranslationHypothesis
from model.translator import Translator
from tests.tiny_model import build_tiny_model
from tests.unit.model.fake_engine import FakeEngine, echo
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = train_tiny_tokenizer(byte_fallback=True)
GENERATION = GenerationConfig(beam_size=2)
PARAGRAPH = "  the old man sees a letter.  my sister waits!\r\n\r\n- two apples 😀\n"
T = TypeVar("T")
LARGE = "".join(
    f"The old man sees letter {''.join(name)}.\n"
    for name in itertools.product("abcdefghij", repeat=3)
)
THREE = ["the red car.", "a small dog. my sister.", "two apples."]


def make_translator(engine: FakeEngine | None = None) -> tuple[Translator, FakeEngine]:
    engine = engine or FakeEngine()
    engine.model_config = TransformerConfig.base(TOKENIZER.vocab_size)  # type: ignore[attr-defined]
    metadata = ModelMetadata(
        name="echo",
        version="1",
        source_languages=("en",),
        target_languages=("de", "fr"),
        license="none",
    )
    translator = Translator(
        cast(Engine, engine),
        TOKENIZER,
        metadata=metadata,
        generation=GENERATION,
        device="cpu",
        dtype="float32",
        num_parameters=7,
    )
    return translator, engine


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        threading.Event().wait(0.001)


@contextmanager
def elsewhere(engine: FakeEngine, function: Callable[..., T], *args: object) -> Iterator[Future[T]]:
    """Calls a function that blocks on a thread of its own; whatever happens, it ends."""
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(function, *args)
        finally:
            engine.close()


def close(stream: Iterator[Translation]) -> None:
    """What happens to a generator when its consumer stops early."""
    cast(Generator[Translation], stream).close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def texts_of(translations: list[Translation]) -> list[str]:
    return [translation.text for translation in translations]


def test_it_says_what_it_is() -> None:
    translator, engine = make_translator()
    assert translator.name == "echo"
    assert translator.languages.pairs == (("en", "de"), ("en", "fr"))
    assert (translator.device, translator.dtype, translator.num_parameters) == ("cpu", "float32", 7)
    assert translator.generation is GENERATION
    assert translator.engine is cast(Engine, engine)


def test_a_paragraph_comes_back_with_its_white_space() -> None:
    translator, engine = make_translator()
    [translation] = translator.translate([PARAGRAPH])
    assert translation.text == PARAGRAPH
    assert translation.num_sentences == 3
    assert translation.finish_reason is FinishReason.STOP
    assert [TOKENIZER.detokenize(source) for source in engine.sources] == [
        "the old man sees a letter.",
        "my sister waits!",
        "two apples",
    ]
    assert all(source[-1] == TOKENIZER.eos_id for source in engine.sources)
    assert translation.source_tokens == sum(map(len, engine.sources))
    assert translation.target_tokens == sum(map(len, engine.sources))


def test_all_sentences_of_a_call_are_submitted_at_once_and_come_back_in_order() -> None:
    translator, engine = make_translator()
    deadline = time.monotonic() + 60
    translations = translator.translate(THREE, deadline=deadline)
    assert texts_of(translations) == THREE
    assert [translation.num_sentences for translation in translations] == [1, 2, 1]
    assert engine.num_submissions == 1
    assert engine.generations == [GENERATION]
    assert engine.deadlines == [deadline]


def test_a_calls_generation_goes_before_the_models() -> None:
    translator, engine = make_translator()
    generation = GenerationConfig(beam_size=1)
    translator.translate(["a letter"], generation=generation)
    assert engine.generations == [generation]


@pytest.mark.parametrize("text", ["", " \n\t", "42", "😀\r\n", "https://example.com"])
def test_a_text_without_words_is_returned_as_it_came(text: str) -> None:
    translator, engine = make_translator()
    [translation] = translator.translate([text])
    assert engine.num_submissions == 0
    assert translation == Translation(
        text=text,
        finish_reason=FinishReason.STOP,
        score=None,
        hypotheses=(TranslationHypothesis(text=text, score=0.0),),
        source_tokens=0,
        target_tokens=0,
        num_sentences=0,
        queue_seconds=0.0,
        encode_seconds=0.0,
        decode_seconds=0.0,
        time_to_first_token_seconds=None,
    )


def test_texts_without_words_stand_between_others() -> None:
    translator, _ = make_translator()
    texts = ["", "a letter", "42", "two apples", " "]
    assert texts_of(translator.translate(texts)) == texts


def test_no_texts_are_no_translations() -> None:
    translator, engine = make_translator()
    assert translator.translate([]) == []
    assert engine.num_submissions == 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a letter", "`texts` must be a list of texts, but is a single one"),
        (["a letter", None], r"`texts\[1\]` must be a string, but is NoneType"),
        (["a letter", "b", b"c"], r"`texts\[2\]` must be a string, but is bytes"),
        (["a", "\udc00"], r"`texts\[1\]`: a text must be valid Unicode, but has a lone surrogate"),
    ],
)
async def test_what_is_no_list_of_texts_is_refused(texts: list[str], message: str) -> None:
    translator, engine = make_translator()
    with pytest.raises(InvalidRequestError, match=message):
        translator.translate(texts)
    with pytest.raises(InvalidRequestError, match=message):
        await translator.translate_async(texts)
    assert engine.num_submissions == 0


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tokenizer reads, sentence by sentence."""
    texts: list[str] = []
    tokenize, tokenize_batch = TOKENIZER.source.tokenize, TOKENIZER.source.tokenize_batch

    def note(text: str) -> list[int]:
        if " " in text.strip():  # words and signs are looked up alone, too
            texts.append(text)
        return tokenize(text)

    def note_batch(batch: Sequence[str]) -> list[list[int]]:
        texts.extend(batch)
        return tokenize_batch(batch)

    monkeypatch.setattr(TOKENIZER.source, "tokenize", note)
    monkeypatch.setattr(TOKENIZER.source, "tokenize_batch", note_batch)
    return texts


@pytest.fixture
def shortest_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is a slice."""
    monkeypatch.setattr("model.time_slices._SLICE_SECONDS", 0.0)


async def test_more_sentences_than_can_ever_wait_are_refused_for_good(read: list[str]) -> None:
    translator, engine = make_translator(FakeEngine(max_waiting=3))
    message = "`texts` must have at most 3 sentences in all, but have more"
    texts = [*THREE, "two apples.\n" * 5000]
    with pytest.raises(InvalidRequestError, match=message):
        translator.translate(texts)
    with pytest.raises(InvalidRequestError, match=message):
        await translator.translate_async(texts)
    assert len(read) == 8  # and nothing behind the fourth sentence
    assert engine.num_submissions == 0


async def test_texts_are_not_cut_after_their_deadline(read: list[str]) -> None:
    translator, engine = make_translator()
    texts = [LARGE]
    message = "the deadline passed while the texts were cut"
    with pytest.raises(DeadlineExceededError, match=message):
        translator.translate(texts, deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineExceededError, match=message):
        await translator.translate_async(texts, deadline=time.monotonic() - 1)
    assert len(read) <= 2 * 40  # those that are read together
    assert engine.num_submissions == 0


async def test_texts_for_which_there_is_no_room_are_not_cut(read: list[str]) -> None:
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=3))
    engine.submit([[5, 2]] * 3, GENERATION)
    for priority in Priority:
        with pytest.raises(QueueFullError, match="there is room for none"):
            translator.translate(THREE, priority=priority)
        with pytest.raises(QueueFullError, match="there is room for none"):
            await translator.translate_async(THREE, priority=priority)
    assert read == []
    engine.finish(0)
    with pytest.raises(QueueFullError, match="room for 1, but the texts have more"):
        await translator.translate_async(["two apples. " * 3])
    assert len(read) == 1  # a repeated sentence is cut once
    engine.close()


async def test_batch_calls_cost_nothing_before_the_engine_needs_them(read: list[str]) -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    engine.wants_batch = False
    batch = [
        asyncio.create_task(translator.translate_async([text], priority=Priority.BATCH))
        for text in THREE
    ]
    await asyncio.sleep(0.1)
    assert read == []
    others = asyncio.create_task(translator.translate_async(["a letter."]))
    await until(lambda: engine.num_submissions == 1)  # they hold up nobody
    engine.wants_batch = True
    await until(lambda: engine.num_submissions == 4)
    assert engine.priorities == [Priority.INTERACTIVE] + [Priority.BATCH] * 3
    assert read == ["a letter.", "the red car.", "a small dog.", "my sister.", "two apples."]
    engine.finish_all()
    answers = await asyncio.gather(others, *batch)
    assert [text for answer in answers for text in texts_of(answer)] == ["a letter.", *THREE]


async def test_batch_calls_wait_in_a_bounded_line_and_until_their_deadline(
    read: list[str],
) -> None:
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=2))
    engine.wants_batch = False
    soon = time.monotonic() + 0.05
    call = partial(translator.translate_async, THREE, priority=Priority.BATCH)
    late, left = (asyncio.create_task(call(deadline=end)) for end in (soon, None))
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError, match="at most 2 batch calls may wait, and 2 do"):
        await call()
    with pytest.raises(DeadlineExceededError, match="before a turn came"):
        await late
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with pytest.raises(DeadlineExceededError):  # there is a place again
        await call(deadline=soon)
    assert (read, engine.num_submissions) == ([], 0)


def translate_held(
    translator: Translator, engine: FakeEngine, act: Callable[[], None]
) -> list[Translation]:
    """Translates THREE on a thread while this one acts upon the sequences in flight."""
    with elsewhere(engine, translator.translate, THREE) as call:
        wait_until(lambda: engine.num_submissions or call.done())
        act()
        return call.result(30)


def aligning() -> Translator:
    """What comes out is what went in, and each token comes from itself."""
    translator, engine = make_translator()
    engine.model_config = TransformerConfig.base(TOKENIZER.vocab_size)  # type: ignore[attr-defined]
    return translator


@pytest.mark.parametrize("text", [PARAGRAPH, "", " 12 - 13\n", "the old man.\n\n7) a \tletter 😀!"])
async def test_words_are_aligned_over_all_of_a_text(text: str) -> None:
    translator = aligning()
    [translation] = translator.translate([text], return_alignments=True)
    links = translation.alignments
    assert links is not None
    assert translation.text == text
    assert [text[slice(*link.source)] for link in links] == [
        text[begin:end] for begin, end in words(text)
    ]
    assert all(link.source == link.target for link in links)
    assert await translator.translate_async([text], return_alignments=True) == [translation]
    assert list(translator.translate_stream([text], return_alignments=True)) == [translation]
    [unasked] = translator.translate([text])
    assert unasked.alignments is None


@pytest.mark.parametrize("text", ["!" * 5000, "the old man.\n" + "!" * 5000])
async def test_many_words_that_are_kept_do_not_hold_up_the_event_loop(
    shortest_slices: None, text: str
) -> None:
    task = asyncio.create_task(aligning().translate_async([text], return_alignments=True))
    turns = 0
    async with asyncio.timeout(60):
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
    [translation] = await task
    assert translation.alignments is not None
    assert len(translation.alignments) >= 5000
    assert turns >= 10


def test_each_hypothesis_has_an_alignment_of_its_own() -> None:
    engine = FakeEngine(held=True)
    engine.model_config = TransformerConfig.base(TOKENIZER.vocab_size)  # type: ignore[attr-defined]
    translator, _ = make_translator(engine)
    text = "sees the old man"
    search = GenerationConfig(num_hypotheses=2)
    with elsewhere(
        engine,
        lambda: translator.translate([text], return_alignments=True, generation=search),
    ) as translating:
        wait_until(lambda: engine.futures)
        engine.finish(0, hypotheses=echo(engine.sources[0], num_hypotheses=2).hypotheses)
        [translation] = translating.result(timeout=30)
    best, second = translation.hypotheses
    assert translation.alignments == best.alignments
    assert best.alignments is not None
    assert second.alignments is not None
    assert {link.source for link in second.alignments} <= {link.source for link in best.alignments}
    assert all(link.target[1] <= len(second.text) for link in second.alignments)
    assert engine.options[0].align_to == range(len(engine.sources[0]) - 1)


def test_results_may_arrive_in_any_order() -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def backwards() -> None:
        for number in reversed(range(4)):
            engine.finish(number)

    assert texts_of(translate_held(translator, engine, backwards)) == THREE


@pytest.mark.parametrize("error", [DeadlineExceededError("late"), EngineDeadError("dead")])
def test_one_failure_cancels_the_rest_and_is_raised(error: Exception) -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def fail_the_third() -> None:
        engine.finish(0)
        engine.fail(2, error)

    with pytest.raises(type(error), match=str(error)):
        translate_held(translator, engine, fail_the_third)
    assert engine.in_flight == []
    assert engine.num_cancelled == 2


def finished(*results: dict[str, object]) -> Translation:
    """The translation of one text whose sentences ended with these results."""
    translator, engine = make_translator(FakeEngine(held=True))
    submit = engine.submit

    def submit_and_finish(sources, generation, **options):
        futures = submit(sources, generation, **options)
        for number, changes in enumerate(results):
            engine.finish(number, **changes)
        return futures

    engine.submit = submit_and_finish  # type: ignore[method-assign]
    sentences = ["the old man sees a letter", "my sister waits", "two apples"]
    most = max(cast(int, each.get("num_hypotheses", 1)) for each in results)
    [translation] = translator.translate(
        ["\n".join(sentences[: len(results)])], generation=GenerationConfig(num_hypotheses=most)
    )
    return translation


def test_hypotheses_of_sentences_are_combined_to_the_best_sums() -> None:
    translation = finished(
        {"num_hypotheses": 3, "target_tokens": 6}, {"num_hypotheses": 2, "target_tokens": 2}
    )
    first, second = "the old man sees a letter", "my sister waits"
    shorter = [TOKENIZER.detokenize(TOKENIZER.tokenize(text)[:-1]) for text in (first, second)]
    expected = [f"{first}\n{second}", f"{first}\n{shorter[1]}", f"{shorter[0]}\n{second}"]
    assert [hypothesis.text for hypothesis in translation.hypotheses] == expected
    assert translation.text == expected[0]
    # -0.1, -0.2, -0.3 of the first, with three quarters of the tokens; -0.1, -0.2 of the second.
    scores = [hypothesis.score for hypothesis in translation.hypotheses]
    assert scores == pytest.approx([-0.1, -0.1 * 0.75 - 0.2 * 0.25, -0.2 * 0.75 - 0.1 * 0.25])
    assert translation.score == scores[0]


def test_of_one_sentence_scores_are_its_own() -> None:
    translation = finished({"num_hypotheses": 2})
    assert [h.score for h in translation.hypotheses] == pytest.approx([-0.1, -0.2])


def test_one_sentence_cut_off_makes_a_text_cut_off() -> None:
    whole = echo([5, 6, 2]).hypotheses[0]
    cut = type(whole)(
        target=whole.target, score=-1.0, log_prob=-1.0, finish_reason=FinishReason.LENGTH
    )
    assert finished({}, {"hypotheses": (cut,)}).finish_reason is FinishReason.LENGTH
    # Only the best hypothesis is in the text.
    assert finished({}, {"hypotheses": (whole, cut)}).finish_reason is FinishReason.STOP


def test_a_sentence_cut_off_before_its_first_token_has_a_score() -> None:
    nothing = type(echo([5, 6, 2]).hypotheses[0])(
        target=b"", score=-2.0, log_prob=-2.0, finish_reason=FinishReason.LENGTH
    )
    assert finished({"hypotheses": (nothing,), "target_tokens": 0}).score == -2.0


def test_timings_are_those_of_the_slowest_sentence_and_of_the_first_token() -> None:
    translation = finished(
        {"queue_seconds": 1.0, "encode_seconds": 0.5, "time_to_first_token_seconds": 3.0},
        {"queue_seconds": 0.5, "decode_seconds": 4.0, "time_to_first_token_seconds": 2.0},
    )
    assert translation.queue_seconds == 1.0
    assert translation.encode_seconds == 0.5
    assert translation.decode_seconds == 4.0
    assert translation.time_to_first_token_seconds == 2.0


@asynccontextmanager
async def translating(
    translator: Translator, engine: FakeEngine, texts: list[str]
) -> AsyncIterator[asyncio.Task[list[Translation]]]:
    """A task that translates, once its sentences are in the engine."""
    task = asyncio.create_task(translator.translate_async(texts))
    await until(lambda: engine.num_submissions or task.done())
    yield task


@pytest.mark.parametrize("texts", [THREE, ["the old man sees a letter. " * 400, *THREE], [""], []])
async def test_async_gives_the_same(texts: list[str]) -> None:
    translator, _ = make_translator()
    assert await translator.translate_async(texts) == translator.translate(texts)
    assert texts_of(await translator.translate_async(texts)) == texts


async def test_large_texts_do_not_hold_up_the_event_loop(
    read: list[str], shortest_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, _ = make_translator()
    written: list[object] = []
    detokenize = TOKENIZER.detokenize

    def note(token_ids: list[int]) -> str:
        written.append(token_ids)
        return detokenize(token_ids)

    monkeypatch.setattr(TOKENIZER, "detokenize", note)
    task = asyncio.create_task(translator.translate_async([LARGE]))
    seen: set[tuple[int, int]] = set()
    async with asyncio.timeout(60):
        while not task.done():
            seen.add((len(read), len(written)))
            await asyncio.sleep(0)
    assert texts_of(await task) == [LARGE]
    # Whatever else runs on the loop has its turn after some sentences that are read together.
    were_read = sorted(number for number, _ in seen)
    assert all(after - before <= 40 for before, after in itertools.pairwise(were_read))
    assert seen.issuperset((1000, number) for number in range(1, 1000))


async def test_a_cancelled_task_cuts_no_more(read: list[str], shortest_slices: None) -> None:
    translator, engine = make_translator()
    task = asyncio.create_task(translator.translate_async([LARGE]))
    await until(lambda: len(read) >= 10)
    num_read = len(read)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(read) == num_read < 100
    assert engine.num_submissions == 0


async def test_a_cancelled_task_puts_nothing_together(
    shortest_slices: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator, _ = make_translator()
    written: list[str] = []
    monkeypatch.setattr(TOKENIZER, "detokenize", lambda ids: written.append("a") or "a")
    task = asyncio.create_task(translator.translate_async([LARGE]))
    await until(lambda: len(written) >= 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(written) == 10


async def test_those_who_left_cost_the_next_one_nothing(
    read: list[str], shortest_slices: None
) -> None:
    translator, engine = make_translator()
    tasks = [asyncio.create_task(translator.translate_async([LARGE] * 5)) for _ in range(60)]
    await until(lambda: len(read) >= 60)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    del read[:]
    assert texts_of(await translator.translate_async(THREE)) == THREE
    assert len(read) == 4
    assert engine.num_submissions == 1


async def test_a_shorter_text_does_not_wait_for_the_end_of_longer_ones(
    read: list[str], shortest_slices: None
) -> None:
    translator, engine = make_translator()
    tasks = [asyncio.create_task(translator.translate_async([LARGE])) for _ in range(5)]
    await until(lambda: len(read) >= 5)
    del read[:]
    assert texts_of(await translator.translate_async(THREE)) == THREE
    assert engine.num_submissions == 1
    assert len(read) < 200  # of 5,000: each of the others has had as many turns
    assert [texts_of(await task) for task in tasks] == [[LARGE]] * 5


async def test_a_small_text_does_not_wait_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    translator, engine = make_translator()
    monkeypatch.setattr("model.time_slices._SLICE_SECONDS", 0.0)
    task = asyncio.create_task(translator.translate_async([LARGE]))
    await until(lambda: translator._slices._turns)
    monkeypatch.setattr("model.time_slices._SLICE_SECONDS", 30.0)
    call = translator.translate_async(["a letter"])
    call.send(None)  # goes on until it waits for something
    assert engine.num_submissions == 1
    call.close()
    assert texts_of(await task) == [LARGE]


def test_event_loops_do_not_take_turns_with_each_other(shortest_slices: None) -> None:
    translator, _ = make_translator()

    async def several() -> list[list[Translation]]:
        async with asyncio.timeout(60):
            calls = (translator.translate_async([LARGE[: 27 * 50]]) for _ in range(3))
            return await asyncio.gather(*calls)

    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(asyncio.run, several()) for _ in range(2)]:
            assert [texts_of(texts) for texts in call.result(90)] == [[LARGE[: 27 * 50]]] * 3
    assert not translator._slices._turns


async def test_async_results_come_from_another_thread_in_any_order() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    async with translating(translator, engine, THREE) as task:
        for number in (3, 0, 2):
            await asyncio.to_thread(engine.finish, number)
        assert not task.done()
        await asyncio.to_thread(engine.finish, 1)
        assert texts_of(await task) == THREE
    assert engine.num_cancelled == 0


@pytest.mark.parametrize("repeat", [1, 300])
async def test_a_cancelled_task_cancels_its_sequences(repeat: int) -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    async with translating(translator, engine, THREE * repeat) as task:
        await asyncio.to_thread(engine.finish, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert engine.in_flight == []
    assert engine.num_cancelled == 4 * repeat - 1


async def test_async_one_failure_cancels_the_rest_and_is_raised() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    async with translating(translator, engine, THREE) as task:
        await asyncio.to_thread(engine.fail, 1, DeadlineExceededError("late"))
        with pytest.raises(DeadlineExceededError, match="late"):
            await task
    assert engine.num_cancelled == 3


async def test_async_a_full_queue_is_the_callers_to_handle() -> None:
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=5))
    async with translating(translator, engine, THREE) as task:
        with pytest.raises(QueueFullError):
            await translator.translate_async(THREE)
        engine.finish_all()
        assert texts_of(await task) == THREE


def test_results_after_the_event_loop_has_gone_are_nobodys_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    engine.cancel = lambda futures: None  # type: ignore[method-assign,assignment]

    async def give_up() -> None:
        async with translating(translator, engine, THREE) as task:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    engine.finish_all()
    assert engine.in_flight == []
    assert caplog.records == []


def test_a_stream_keeps_the_order() -> None:
    translator, engine = make_translator()
    texts = [*THREE, "", PARAGRAPH, *THREE]
    stream = translator.translate_stream(iter(texts), window=3)
    assert texts_of(list(stream)) == texts
    assert engine.generations == [GENERATION] * 7


def test_a_stream_reads_no_further_ahead_than_its_window() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    read = itertools.count()
    stream = translator.translate_stream((f"a letter {next(read)}" for _ in range(99)), window=4)
    with elsewhere(engine, next, stream) as first:
        wait_until(lambda: len(engine.in_flight) == 4)
        engine.finish(1)
        engine.finish(3)
        assert not first.done()  # the oldest goes first
        engine.finish(0)
        assert first.result(30).text == "a letter 0"
        assert next(stream).text == "a letter 1"
        assert engine.in_flight == [2]
        assert next(read) == 4
        close(stream)


def test_a_stream_yields_what_is_done_before_its_window_is_full() -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def texts() -> Iterator[str]:
        yield "a letter"
        engine.finish(0)
        yield "two apples"
        pytest.fail("the first translation should have been yielded before")

    stream = translator.translate_stream(texts())
    assert next(stream).text == "a letter"
    close(stream)


def test_closing_a_stream_cancels_what_is_in_flight() -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def texts() -> Iterator[str]:
        yield from THREE
        engine.finish(0)
        yield from THREE

    stream = translator.translate_stream(texts())
    next(stream)
    assert len(engine.in_flight) == 4
    close(stream)
    assert engine.in_flight == []
    assert engine.num_cancelled == 4


def test_a_failure_in_a_stream_cancels_what_is_in_flight() -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def texts() -> Iterator[str]:
        yield from THREE
        engine.finish(0)
        engine.fail(2, EngineDeadError("dead"))

    stream = translator.translate_stream(texts())
    assert next(stream).text == THREE[0]
    with pytest.raises(EngineDeadError, match="dead"):
        next(stream)
    assert engine.in_flight == []
    assert engine.num_cancelled == 2


def test_texts_that_cannot_be_read_on_cancel_what_is_in_flight() -> None:
    translator, engine = make_translator(FakeEngine(held=True))

    def texts() -> Iterator[str]:
        yield from THREE
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(translator.translate_stream(texts()))
    assert engine.in_flight == []
    assert engine.num_cancelled == 4


def test_a_stream_waits_for_room_in_the_queue() -> None:
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=4))
    texts = THREE * 3
    with elsewhere(engine, list, translator.translate_stream(texts)) as everything:
        while not everything.done():
            wait_until(lambda: engine.in_flight or everything.done())
            if engine.in_flight:
                engine.finish(engine.in_flight[0])
        assert texts_of(everything.result()) == texts
    assert engine.most_in_flight <= 4


def test_a_stream_does_not_wait_for_what_others_put_into_the_queue() -> None:
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=1))
    engine.submit([[5, 2]], GENERATION)
    with pytest.raises(QueueFullError):
        list(translator.translate_stream(["a letter"]))


def test_what_cannot_be_streamed_is_refused_before_anything_is_read() -> None:
    translator, _ = make_translator()
    with pytest.raises(InvalidRequestError, match="`window` must be at least 1, but is 0"):
        translator.translate_stream(["a"], window=0)
    with pytest.raises(InvalidRequestError, match="`texts` must be a list of texts"):
        translator.translate_stream("a letter")


def test_closing_closes_the_engine() -> None:
    translator, engine = make_translator()
    with translator as same:
        assert same is translator
        assert engine.alive
    assert not engine.alive


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    config = EngineConfig(
        device="cpu", backend="eager", max_slots=16, max_waiting=64, num_threads=1
    )
    with Translator.load(directory, config) as translator:
        yield translator


REAL_TEXTS = [
    "The old street. One red river!\n\n- two tired children 😀\n",
    "",
    "water bread " * 60,
    "A quiet morning.",
]


def test_a_loaded_model_says_what_it_is(real: Translator) -> None:
    assert real.name == "tiny-en-de"
    assert real.languages.pairs == (("en", "de"),)
    assert (real.device, real.dtype) == ("cpu", "float32")
    assert real.num_parameters > 10_000
    assert real.generation.beam_size == 2


def test_with_a_real_engine_texts_come_out_together_as_they_do_alone(real: Translator) -> None:
    together = real.translate(REAL_TEXTS)
    alone = [real.translate([text])[0].text for text in REAL_TEXTS]
    assert texts_of(together) == alone == texts_of(list(real.translate_stream(REAL_TEXTS)))
    assert [translation.num_sentences for translation in together][:2] == [3, 0]
    assert together[2].num_sentences > 1  # longer than the model's 64 positions
    first, _, rest = together[0].text.partition("\n\n- ")
    assert first
    assert rest.endswith(" 😀\n")
    assert together[0].time_to_first_token_seconds is not None
    assert together[0].time_to_first_token_seconds > 0


def test_with_a_real_engine_there_are_several_hypotheses(real: Translator) -> None:
    generation = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens=12)
    [translation] = real.translate(["One red river. Two trains."], generation=generation)
    scores = [hypothesis.score for hypothesis in translation.hypotheses]
    assert len({hypothesis.text for hypothesis in translation.hypotheses}) == 3
    assert scores == sorted(scores, reverse=True)
    assert translation.score == scores[0]


async def test_with_a_real_engine_cancelling_frees_every_slot(real: Translator) -> None:
    # Long enough that none can be done before the task is cancelled.
    generation = GenerationConfig(beam_size=8, max_new_tokens=64)
    task = asyncio.create_task(real.translate_async(["one red river"] * 60, generation=generation))
    await until(lambda: real.engine.stats().slots_used > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: real.engine.stats().slots_used == real.engine.stats().waiting == 0)
    assert real.engine.alive


async def test_with_a_real_engine_a_deadline_that_has_passed_fails_the_call(
    real: Translator,
) -> None:
    with pytest.raises(DeadlineExceededError):
        await real.translate_async(REAL_TEXTS, deadline=time.monotonic() - 1)
    assert texts_of(await real.translate_async([""])) == [""]


def test_a_sentence_longer_than_what_the_model_was_trained_on_is_split(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "tiny")
    sentence = "The old house and the small street and the quiet river and the late train."

    def sentences() -> int:
        with Translator.load(directory, EngineConfig(device="cpu", num_threads=1)) as translator:
            [translation] = translator.translate([sentence])
            return translation.num_sentences

    assert sentences() == 1
    change_config(directory, max_source_tokens=10)
    assert sentences() > 1


def test_a_sentence_in_capitals_is_read_in_small_letters(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "tiny")
    with Translator.load(directory, EngineConfig(device="cpu", num_threads=1)) as translator:
        said, shouted = translator.translate(["the old house", "THE OLD HOUSE"])
    assert shouted.text == said.text.upper()


def test_a_model_says_that_it_knows_placeholders(tmp_path: Path) -> None:
    directory = build_tiny_model(tmp_path / "tiny")
    sources = ["the <b>old</b> house at https://example.org/some/where"]
    with Translator.load(directory, EngineConfig(device="cpu", num_threads=1)) as translator:
        [plain] = translator.translate(sources)
    change_config(directory, placeholders=True)
    with Translator.load(directory, EngineConfig(device="cpu", num_threads=1)) as translator:
        [translation] = translator.translate(sources, generation=GenerationConfig(beam_size=2))
    assert translation.source_tokens < plain.source_tokens
    # It is a model of random weights, which puts nothing in its place; and nothing is lost.
    for kept in ("<b>", "</b>", "https://example.org/some/where"):
        assert translation.text.count(kept) == 1
    change_config(directory, placeholders=1)
    with pytest.raises(CheckpointError, match="`placeholders` must be true or false"):
        Translator.load(directory)


def change_config(directory: Path, **fields: object) -> None:
    """Changes fields of a model's config.json, and its checksums with it."""
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    sums = directory / "SHA256SUMS"
    lines = [line.split("  ")[1] for line in sums.read_text().splitlines()]
    digests = [hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in lines]
    sums.write_text("".join(f"{d}  {n}\n" for d, n in zip(digests, lines, strict=True)))
