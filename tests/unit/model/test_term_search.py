"""Terms that a translation has no place for are searched for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest

from model.config import GenerationConfig, Priority, TransformerConfig
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.decoding.token_ids import packed_ids
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.text_options import GlossaryEntry, TextOptions
from model.translation import Translation
from model.translator import Translator
from tests.unit.model.fake_engine import FakeEngine, echo
from tests.unit.model.test_translator import TOKENIZER, make_translator

TEXT = "the old man sees a letter"
OPTIONS = TextOptions(
    glossary=(GlossaryEntry("man", ("sister",)), GlossaryEntry("letter", ("apples",)))
)


class _Engine(FakeEngine):
    """Says what a test lets it say for each search: texts, all of whose tokens attend to the first
    place of the source."""

    def __init__(self, *said: Sequence[str]) -> None:
        super().__init__(held=True)
        self.model_config = TransformerConfig.base(TOKENIZER.vocab_size)
        self.said = list(said)
        self.admitted: list[bool] = []

    def submit(
        self,
        sources: Sequence[Sequence[int]],
        generation: GenerationConfig,
        *,
        options: Sequence[SequenceOptions] | None = None,
        deadline: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        on_decided: object = None,
        admitted: bool = False,
    ) -> list[ResultFuture[SequenceResult]]:
        first = len(self.futures)
        futures = super().submit(sources, generation, options=options, admitted=admitted)
        self.admitted.append(admitted)
        for number in range(first, len(self.futures)):
            said = self.said.pop(0)
            self.finish(number, hypotheses=tuple(map(_hypothesis, said, range(len(said)))))
        return futures


def _hypothesis(text: str, rank: int) -> Hypothesis:
    token_ids = tuple(TOKENIZER.tokenize(text))
    return Hypothesis(
        target=packed_ids(token_ids),
        score=-0.1 * rank,
        log_prob=-1.0,
        finish_reason=FinishReason.STOP,
        attended=(0,) * (len(token_ids) + 1),
    )


def _all(translator: Translator, search: GenerationConfig | None) -> list[Translation]:
    return translator.translate([TEXT], generation=search, text_options=OPTIONS)


def _stream(translator: Translator, search: GenerationConfig | None) -> list[Translation]:
    return list(translator.translate_stream([TEXT], generation=search, text_options=OPTIONS))


def _task(translator: Translator, search: GenerationConfig | None) -> list[Translation]:
    return asyncio.run(translator.translate_async([TEXT], generation=search, text_options=OPTIONS))


def _told(translator: Translator, search: GenerationConfig | None) -> list[Translation]:
    return asyncio.run(_told_of(translator, [TEXT], search))


async def _told_of(
    translator: Translator, texts: list[str], search: GenerationConfig | None
) -> list[Translation]:
    """Translations, of which the parts are told."""
    parts = [""] * len(texts)
    found: list[Translation] = []
    stream = translator.stream_async(texts, generation=search, text_options=OPTIONS)
    async with aclosing(stream):
        async for progress in stream:
            for delta in progress.deltas:
                parts[delta.number] += delta.text
            found += progress.done
    assert parts == [each.text for each in found]
    return found


WAYS = pytest.mark.parametrize("way", [_all, _stream, _task, _told])
Way = Callable[[Translator, GenerationConfig | None], list[Translation]]


@WAYS
def test_first_with_the_phrases_of_lost_terms_then_with_those_of_all(way: Way) -> None:
    engine = _Engine(["the sister waits"], ["the apples wait"], ["the apples see the sister"])
    [translation] = way(make_translator(engine)[0], None)
    assert translation.text == "the apples see the sister"
    none, some, both = (options.phrases for options in engine.options)
    assert none == ()
    assert [phrase.forms[0] for phrase in some] == [tuple(TOKENIZER.tokenize("apples"))]
    assert [phrase.forms[0] for phrase in both] == [
        tuple(TOKENIZER.tokenize(word)) for word in ("sister", "apples")
    ]
    assert all(phrase.required for phrase in both)
    for phrase, word in zip(both, ("man", "letter"), strict=True):
        assert phrase.places is not None
        read = [engine.sources[0][place] for place in phrase.places]
        assert TOKENIZER.detokenize(read).strip() == word
    assert engine.admitted == [False, True, True]


@WAYS
def test_of_several_each_has_the_terms(way: Way) -> None:
    good = "a sister sees two apples"
    engine = _Engine(
        ["the sister waits", good, "a letter"],
        ["two apples see a sister", good, "the apples", "the sister"],
    )
    search = GenerationConfig(beam_size=4, num_hypotheses=3)
    [translation] = way(make_translator(engine)[0], search)
    texts = [each.text for each in translation.hypotheses]
    assert texts == ["two apples see a sister", good]


def test_no_search_without_end() -> None:
    engine = _Engine(*[["the sister waits"]] * 5)
    [translation] = _all(make_translator(engine)[0], None)
    assert translation.text == "the sister waits"
    assert len(engine.sources) == 3


def test_further_searches_of_others_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.term_search._MOST_SCORE_FOR_TERMS", 0.15)
    # The best one lacks a term; the third one has most, but is too much worse than it.
    several = ["the old house", "the apples", "the apples see the sister"]
    said = [several, ["the sister waits"], ["the sister sees apples"]]
    search = GenerationConfig(beam_size=4, num_hypotheses=2)
    texts = ["man sees a letter", "a letter waits"]
    alone, _ = make_translator(_Engine(several))
    [expected] = alone.translate(texts[:1], generation=search, text_options=OPTIONS)
    assert expected.text == "sister apples"  # what is no place of a term is put in its place
    for way in (texts, ["! ".join(texts)]):
        together = make_translator(_Engine(*said))[0].translate(
            way, generation=search, text_options=OPTIONS
        )
        told = asyncio.run(_told_of(make_translator(_Engine(*said))[0], way, search))
        assert [each.text for each in told] == [each.text for each in together]
        assert together[0].text.startswith(expected.text)


def test_times_are_those_of_all_searches() -> None:
    engine = _Engine(["the sister waits"], ["the apples see the sister"])
    engine.finish = lambda number, **changes: engine.futures[number].set_result(  # type: ignore[method-assign]
        echo(engine.sources[number], decode_seconds=1.5, queue_seconds=0.5, **changes)
    )
    [translation] = _all(make_translator(engine)[0], None)
    assert (translation.decode_seconds, translation.queue_seconds) == (3.0, 1.0)
