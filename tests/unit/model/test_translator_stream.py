"""Translations that are told of while they are made: joined, the parts are the plain answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import EngineConfig, GenerationConfig, Priority, SearchRules
from model.errors import DeadlineExceededError, InvalidRequestError, QueueFullError
from model.segment_cache import ModelCache, SegmentCache
from model.text_options import GlossaryEntry, TextFormat, TextOptions
from model.translation import Progress, Translation
from model.translator import Translator
from tests.tiny_model import build_tiny_model
from tests.unit.model.fake_engine import FakeEngine
from tests.unit.model.test_translator import THREE, make_translator, until

SENTENCES = [
    "The red house stands by the river.",
    "My sister has 12 apples and 3.5 pears!",
    "See https://example.org/a?b=1 for more.",
    "THE OLD MAN SEES A SMALL DOG.",
    "the train was late because the street was closed",
    "No, no, no \u2014 it is 10:30 a.m. already?",
    "\u6f22\u5b57 and \U0001f600 \u00fc\u00df\u00e9 are here, {name}.",
    "Really",
]
GLOSSARY = [
    GlossaryEntry("house", ("Geb\u00e4ude",)),
    GlossaryEntry("red", ("Zinnober Zwiebel", "Rot")),
    GlossaryEntry("stands by", ("ragt",)),
    GlossaryEntry("apples", ("\u6f22\u5b57",)),
    GlossaryEntry("for more", ("wegen Quark",)),
    GlossaryEntry("the", ("jenes sehr",)),
    GlossaryEntry("was", ("bleibt st\u00e4ndig",)),
    GlossaryEntry("already", ("l\u00e4ngst",)),
]
"""Terms; of most the model says nothing."""
BETWEEN = [" ", "\n", "\n\n- ", "  ", "\t", " \u200b", "\r\n1. "]


@pytest.fixture(autouse=True, scope="module")
def _at_once() -> Iterator[None]:
    """Each token is told of as soon as it is decided."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.engine.scheduler._REPORT_SECONDS", 0.0)
        patch.setattr("model.translator._PAUSE_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module", params=["native", "en-de"])
def translator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Translator]:
    source: str | Path = request.param
    backend = "native"
    if request.param != "en-de":
        source = build_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")
        backend = request.param
    config = EngineConfig(num_threads=1, backend=backend)
    cache = ModelCache(SegmentCache(1 << 24), "all")
    with Translator.load(source, config, cache=cache) as loaded:
        yield loaded


async def told(stream: AsyncGenerator[Progress]) -> tuple[list[tuple[int, str]], list[Translation]]:
    """All deltas, and all translations."""
    deltas: list[tuple[int, str]] = []
    translations: list[Translation] = []
    async with aclosing(stream), asyncio.timeout(120):
        async for progress in stream:
            deltas += progress.deltas
            translations += progress.done
    return deltas, translations


def joined(deltas: list[tuple[int, str]], count: int) -> list[str]:
    """The text of each index; deltas must be in reading order, and none empty."""
    assert [index for index, _ in deltas] == sorted(index for index, _ in deltas)
    assert all(text for _, text in deltas)
    return ["".join(text for index, text in deltas if index == number) for number in range(count)]


def _untimed(translation: Translation) -> Translation:
    return replace(
        translation, queue_seconds=0, encode_seconds=0, decode_seconds=0,
        time_to_first_token_seconds=None,
    )  # fmt: skip


texts = st.lists(
    st.lists(
        st.tuples(st.sampled_from(SENTENCES), st.sampled_from(BETWEEN)), min_size=0, max_size=4
    ).map(lambda parts: "".join(sentence + between for sentence, between in parts)),
    min_size=1,
    max_size=3,
)
searches = st.builds(
    lambda beam, wanted, rules, limit: GenerationConfig(
        beam_size=beam, num_hypotheses=min(beam, wanted), search=rules, max_new_tokens=limit,
        limit_repeats=True,
    ),
    st.sampled_from([1, 1, 2, 4]),
    st.sampled_from([1, 1, 2]),
    st.sampled_from(list(SearchRules)),
    st.sampled_from([24, 24, 5]),
)  # fmt: skip
options = st.builds(
    lambda terms, keep, banned, prefix, markup: TextOptions(
        glossary=tuple(terms),
        keep=("old man", "12 apples") if keep else (),
        banned_terms=("Haus", "the") if banned else (),
        target_prefix=prefix if markup is TextFormat.TEXT else "",
        format=markup,
    ),
    st.just([]) | st.lists(st.sampled_from(GLOSSARY), unique=True, max_size=5),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "", "Das rote Geb", "Jenes ist alt. Es"]),
    st.sampled_from([TextFormat.TEXT] * 5 + list(TextFormat)),
)


@given(texts=texts, search=searches, options=options, aligned=st.booleans(), cached=st.booleans())
@settings(max_examples=60)
def test_joined_parts_are_the_plain_answer(
    translator: Translator,
    texts: list[str],
    search: GenerationConfig,
    options: TextOptions,
    aligned: bool,
    cached: bool,
) -> None:
    if options.format is TextFormat.XML:
        texts = [f"<a>{text.replace('&', '&amp;')}</a>" for text in texts]
    if len(texts) > 1 or not texts[0].strip():
        options = replace(options, target_prefix="")  # begins one text
    if options.target_prefix:
        search = replace(search, max_new_tokens=40)  # behind it
    arguments = {"generation": search, "text_options": options, "return_alignments": aligned}
    plain = translator.translate(texts, **arguments, use_cache=not cached)  # type: ignore[arg-type]
    stream = translator.stream_async(texts, **arguments, use_cache=cached)  # type: ignore[arg-type]
    deltas, translations = asyncio.run(told(stream))
    assert joined(deltas, len(texts)) == [each.text for each in plain]
    assert list(map(_untimed, translations)) == list(map(_untimed, plain))


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("The red house is old. It stands there.", "Das rote Hau"),
        ("The red house is old.", "Das "),
        ("The red house is old. It stands there. 12 apples.", "Das Haus ist alt. Es"),
    ],
)
def test_a_given_beginning_is_a_part_of_it(translator: Translator, text: str, prefix: str) -> None:
    options = TextOptions(target_prefix=prefix)
    [plain] = translator.translate([text], text_options=options)
    deltas, _ = asyncio.run(told(translator.stream_async([text], text_options=options)))
    assert joined(deltas, 1) == [plain.text]


@pytest.mark.parametrize(
    ("page", "first"),
    [
        ("<h1>The red house</h1><p>It is old.</p>", "<h1>"),
        ('<p title="The river">It is <b>old</b>.</p><p>The red house.</p>', "<p title="),
    ],
)
def test_a_page_comes_block_by_block(translator: Translator, page: str, first: str) -> None:
    options = TextOptions(format=TextFormat.HTML, translate_attributes=True)
    [plain] = translator.translate([page], text_options=options)
    deltas, _ = asyncio.run(told(translator.stream_async([page], text_options=options)))
    assert joined(deltas, 1) == [plain.text]
    assert deltas[0].text.startswith(first)  # type: ignore[attr-defined]


async def test_a_long_sentence_is_told_of_in_parts() -> None:
    with Translator.load("en-de", EngineConfig(num_threads=1)) as translator:
        text = "The old man sees the red house because the street is closed in the evening."
        deltas, _ = await told(
            translator.stream_async([text], generation=GenerationConfig(beam_size=1))
        )
    assert len(deltas) > 1


# --- with an engine that is told when to do what --------------------------------------------------


async def _next(stream: AsyncGenerator[Progress]) -> Progress:
    async with asyncio.timeout(30):
        return await anext(stream)


async def test_tokens_are_told_of_before_their_sentence_is_done() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    stream = translator.stream_async(["the old man sees a letter. my sister waits!"])
    first = asyncio.ensure_future(_next(stream))
    await until(lambda: engine.num_submissions)
    tell = engine.on_decided[0]
    assert tell is not None
    await asyncio.to_thread(tell, tuple(engine.sources[0][:2]))
    [(index, text)] = (await first).deltas
    assert (index, text) == (0, "the")
    second = asyncio.ensure_future(_next(stream))
    await asyncio.to_thread(engine.finish, 1)
    await asyncio.to_thread(engine.finish, 0)
    progress = await second
    assert text + "".join(each.text for each in progress.deltas) == progress.done[0].text
    with pytest.raises(StopAsyncIteration):
        await _next(stream)


async def test_later_texts_wait_for_those_before() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    stream = translator.stream_async(THREE)
    first = asyncio.ensure_future(_next(stream))
    await until(lambda: engine.num_submissions)
    for number in (3, 2, 1):
        await asyncio.to_thread(engine.finish, number)
    assert not first.done()
    await asyncio.to_thread(engine.finish, 0)
    progress = await first
    assert [each.text for each in progress.done] == THREE
    assert [each.number for each in progress.deltas] == [0, 1, 2]


@pytest.mark.parametrize("begun", [False, True])
async def test_who_leaves_frees_the_slots(begun: bool) -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    stream = translator.stream_async(THREE)
    waiting = asyncio.ensure_future(_next(stream))
    await until(lambda: engine.num_submissions)
    if begun:
        await asyncio.to_thread(engine.finish, 0)
        await waiting
    else:
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await stream.aclose()
    assert engine.in_flight == []
    assert engine.num_cancelled == 4 - begun


@pytest.mark.parametrize("number", [0, 3])
async def test_a_failure_ends_it_and_cancels_the_rest(number: int) -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    stream = translator.stream_async(THREE)
    waiting = asyncio.ensure_future(_next(stream))
    await until(lambda: engine.num_submissions)
    await asyncio.to_thread(engine.fail, number, DeadlineExceededError("late"))
    with pytest.raises(DeadlineExceededError, match="late"):
        await waiting
    assert engine.num_cancelled == 3


async def test_it_refuses_what_translate_refuses() -> None:
    translator, _ = make_translator(FakeEngine(max_waiting=2))
    for texts, error in ((["a", 1], InvalidRequestError), (THREE, InvalidRequestError)):
        with pytest.raises(error):
            await _next(translator.stream_async(texts))  # type: ignore[arg-type]
    translator, engine = make_translator(FakeEngine(held=True, max_waiting=5))
    waiting = asyncio.ensure_future(_next(translator.stream_async(THREE)))
    await until(lambda: engine.num_submissions)
    with pytest.raises(QueueFullError):
        await _next(translator.stream_async(THREE))
    engine.finish_all()
    await waiting


async def test_batch_calls_are_told_of_too() -> None:
    translator, _ = make_translator()
    deltas, _ = await told(translator.stream_async(THREE, priority=Priority.BATCH))
    assert joined(deltas, 3) == THREE


async def test_no_texts_and_blank_ones_have_no_parts() -> None:
    translator, _ = make_translator()
    assert await told(translator.stream_async([])) == ([], [])
    deltas, translations = await told(translator.stream_async(["", " \n"]))
    assert deltas == [(1, " \n")]
    assert [each.text for each in translations] == ["", " \n"]
