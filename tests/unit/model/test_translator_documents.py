"""Documents in, documents out: markup, alignments, hypotheses, options, errors, the event loop."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from model.config import GenerationConfig, Priority, TransformerConfig
from model.documents import Documents
from model.errors import InvalidOptionError, InvalidRequestError, QueueFullError
from model.text_options import GlossaryEntry, KeptSpan, TextFormat, TextOptions
from model.translation import Translation
from model.translator import Translator
from tests.unit.model.fake_engine import FakeEngine
from tests.unit.model.test_translator import TOKENIZER, elsewhere, make_translator, wait_until

HTML = TextOptions(format=TextFormat.HTML)
PAGE = """<!DOCTYPE html>
<h1 id="a">The old  man</h1>
<!-- a comment --><p>the <b>red</b> car &amp; a&nbsp;dog. my
 <code>x &lt; 1</code> sister.</p><script>let a = "the car";</script>
"""


def echoing(engine: FakeEngine | None = None) -> tuple[Translator, FakeEngine]:
    """What comes out is what went in, and each token comes from itself."""
    engine = engine or FakeEngine()
    engine.model_config = TransformerConfig.base(TOKENIZER.vocab_size)  # type: ignore[attr-defined]
    return make_translator(engine)


@pytest.mark.parametrize(
    ("syntax", "source"),
    [
        (TextFormat.HTML, PAGE),
        (TextFormat.HTML, ""),
        (TextFormat.HTML, "<p>12</p>"),
        (TextFormat.XML, '<?xml version="1.0"?>\n<a><b>the <i>red</i> car</b><c/></a>\n'),
        (TextFormat.MARKDOWN, "# the car\n\n- my **old** sister\n- `x`\n"),
    ],
)
async def test_a_document_stays_itself_however_it_is_translated(
    syntax: TextFormat, source: str
) -> None:
    translator, _ = echoing()
    options = TextOptions(format=syntax)
    [translation] = translator.translate([source], text_options=options)
    assert translation.text == source
    assert translation.alignments is None
    assert await translator.translate_async([source], text_options=options) == [translation]
    assert list(translator.translate_stream([source], text_options=options)) == [translation]


def test_it_is_said_of_which_texts_markup_parts_an_amount() -> None:
    pages = ["<p>$5-$10<p><b>$5</b>-<b>$10</b>", "<p>Now <i>$5</i> million"]
    options = Documents(pages, HTML).text_options
    assert options.parted_amounts == {1, 2}
    assert options.for_texts([2, 0]).parted_amounts == {0}


def test_only_texts_of_blocks_reach_the_engine_and_all_at_once() -> None:
    translator, engine = echoing()
    [translation, other] = translator.translate([PAGE, "<p>a dog"], text_options=HTML)
    assert engine.num_submissions == 1
    assert (translation.num_sentences, other.num_sentences) == (3, 1)
    assert translation.source_tokens == sum(map(len, engine.sources[:3]))
    assert translation.score == pytest.approx(-0.1)
    assert translation.finish_reason == "stop"


def test_alignments_are_of_the_whole_documents() -> None:
    translator, _ = echoing()
    [translation] = translator.translate([PAGE], text_options=HTML, return_alignments=True)
    assert translation.alignments is not None
    assert all(link.source == link.target for link in translation.alignments)
    linked = [PAGE[slice(*link.source)] for link in translation.alignments]
    assert linked == [
        *("The", "old", "man", "the", "red", "car", "&amp;", "a", "dog", ".", "my"),
        *("<code>x &lt; 1</code>", "sister", "."),
    ]


def test_each_hypothesis_is_a_document() -> None:
    translator, engine = echoing(FakeEngine(held=True))
    generation = GenerationConfig(beam_size=2, num_hypotheses=2)
    call: Callable[[], list[Translation]] = lambda: translator.translate(  # noqa: E731
        ["<p>the <b>old</b> man</p><p>a dog"], text_options=HTML, generation=generation
    )
    with elsewhere(engine, call) as translating:
        wait_until(lambda: len(engine.futures) == 2)
        for number in range(2):
            engine.finish(number, num_hypotheses=2)
        [translation] = translating.result(30)
    best, second = translation.hypotheses
    assert best.text == translation.text == "<p>the <b>old</b> man</p><p>a dog"
    assert second.text == "<p>the <b>old</b> man</p><p>a do"
    assert second.score < best.score


def test_attributes_are_translated_on_request() -> None:
    translator, engine = echoing()
    source = '<img alt="my &quot;old&quot; sister"><p title=car>two apples</p><i title="12"></i>'
    options = TextOptions(format=TextFormat.HTML, translate_attributes=True)
    [translation] = translator.translate([source], text_options=options)
    assert translation.text == source
    assert len(engine.sources) == 3
    [translation] = translator.translate([source], text_options=HTML)
    assert len(engine.sources) == 4


@pytest.mark.parametrize(
    ("syntax", "source"),
    [
        (TextFormat.XML, "<a title='my &amp; dog'><b>two apples</b></a>"),
        (TextFormat.MARKDOWN, 'two ![my dog](a.png "one \\"car\\"") apples\n'),
    ],
)
def test_attributes_of_xml_and_titles_of_markdown_are_too(syntax: TextFormat, source: str) -> None:
    translator, engine = echoing()
    options = TextOptions(format=syntax, translate_attributes=True)
    [translation] = translator.translate([source], text_options=options)
    assert translation.text == source
    assert len(engine.sources) == source.count("my") + source.count("two") + source.count("one")
    documents = Documents([source], options)
    texts = [f'x ) " {text}' for text in documents.texts]
    translated = next(
        each for each in documents.translations([_translation(t) for t in texts], False) if each
    ).text
    assert Documents([translated], options).texts == texts


def _translation(text: str) -> Translation:
    translator, _ = echoing()
    [translation] = translator.translate(["a"])
    hypothesis = replace(translation.hypotheses[0], text=text, alignments=())
    return replace(translation, text=text, hypotheses=(hypothesis,))


def test_spans_of_a_document_that_are_kept_are_spans_of_its_texts() -> None:
    source = "<p>the <b>red</b> car</p><p>a dog</p>"
    begin = source.index("red")
    options = TextOptions(
        format=TextFormat.HTML,
        keep_spans=(KeptSpan(1, begin, source.index("dog") + 3),),
        glossary=(GlossaryEntry("car", ("Wagen",)),),
    )
    documents = Documents(["<p>none", source], options)
    assert documents.texts == ["none", "the red car", "a dog"]
    assert documents.text_options.keep_spans == (KeptSpan(1, 4, 11), KeptSpan(2, 0, 5))
    assert documents.text_options.glossary == options.glossary
    assert documents.text_options.format is TextFormat.TEXT


@pytest.mark.parametrize(
    ("text", "syntax", "reason"),
    [
        ("<a><b></a>", TextFormat.XML, "`texts[1]`: XML must be well-formed, but line 1 is not"),
        ("<p>\ud800", TextFormat.HTML, "`texts[1]`: must be valid Unicode"),
    ],
)
async def test_a_document_that_cannot_be_read_is_refused(
    text: str, syntax: TextFormat, reason: str
) -> None:
    translator, engine = echoing()
    options = TextOptions(format=syntax)
    with pytest.raises(InvalidRequestError) as failure:
        translator.translate(["a", text], text_options=options)
    assert reason in str(failure.value)
    with pytest.raises(InvalidRequestError):
        await translator.translate_async(["a", text], text_options=options)
    assert engine.num_submissions == 0


def test_a_beginning_of_the_translation_is_of_plain_text() -> None:
    with pytest.raises(InvalidOptionError, match="`target_prefix` must come with plain text"):
        TextOptions(format=TextFormat.HTML, target_prefix="Das")


def test_the_queue_bounds_the_blocks_of_a_document_but_not_of_a_stream() -> None:
    translator, engine = echoing(FakeEngine(max_waiting=4))
    source = "".join(f"<p>a dog {number}" for number in range(9))
    with pytest.raises((QueueFullError, InvalidRequestError)):
        translator.translate([source], text_options=HTML)
    [translation] = translator.translate_stream([source], text_options=HTML, window=2)
    assert translation.text == source
    assert engine.most_in_flight <= 4


async def test_large_documents_do_not_hold_up_the_event_loop() -> None:
    translator, _ = echoing()
    source = "<p>the <b>red</b> car" * 400
    task = asyncio.create_task(translator.translate_async([source], text_options=HTML))
    turns = 0
    async with asyncio.timeout(60):
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
    assert (await task)[0].text == source
    assert turns >= 10


async def test_a_call_that_is_cancelled_leaves_nothing_in_the_engine() -> None:
    translator, engine = echoing(FakeEngine(held=True))
    task = asyncio.create_task(
        translator.translate_async([PAGE], text_options=HTML, priority=Priority.BATCH)
    )
    async with asyncio.timeout(30):
        while not engine.futures:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not engine.in_flight
