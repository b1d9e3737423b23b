"""Hypotheses that are loops come without the copies, whoever asks for them and however."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from model.config import GenerationConfig
from model.decoding.phrases import Phrase
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.decoding.token_ids import packed_ids
from model.loop_removal import without_loops
from model.text.detokenized import Detokenized
from model.text.tokenizer import Tokenizer
from tests.unit.model.fake_engine import FakeEngine
from tests.unit.model.test_term_search import _Engine
from tests.unit.model.test_translator import TOKENIZER, make_translator, until

TEXTS = Detokenized(TOKENIZER)
LOOP = "the old man sees the sister the sister the sister the sister waits"
WITHOUT = "the old man sees the sister waits"


def _hypothesis(text: str) -> Hypothesis:
    token_ids = tuple(TOKENIZER.tokenize(text))
    return Hypothesis(
        target=packed_ids(token_ids),
        score=-0.5,
        log_prob=-2.0,
        finish_reason=FinishReason.STOP,
        attended=tuple(range(len(token_ids) + 1)),
    )


def test_places_that_are_attended_to_go_with_their_tokens() -> None:
    before, whole = _hypothesis(LOOP), _hypothesis(WITHOUT)
    found = without_loops(before, "a source", NO_OPTIONS, TEXTS)
    assert found.token_ids == whole.token_ids
    kept = len(TOKENIZER.tokenize("the old man sees the sister"))
    left_out = len(before.token_ids) - len(whole.token_ids)
    assert found.attended == (*range(kept), *range(kept + left_out, len(before.token_ids) + 1))
    assert (found.score, found.log_prob) == (before.score, before.log_prob)


def test_what_the_check_has_read_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    translator, _ = make_translator(_Engine(["the old man sees the sister", WITHOUT]))
    decoded: list[tuple[int, ...]] = []
    detokenize = type(TOKENIZER).detokenize

    def counted(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
        decoded.append(tuple(token_ids))
        return detokenize(tokenizer, token_ids)

    monkeypatch.setattr(type(TOKENIZER), "detokenize", counted)
    search = GenerationConfig(beam_size=2, num_hypotheses=2, limit_repeats=True)
    with translator:
        translator.translate(["a source"], generation=search)
    assert len(decoded) == len(set(decoded)) == 2


def test_what_the_source_says_as_often_stays() -> None:
    found = without_loops(_hypothesis(LOOP), "ja ja ja ja", NO_OPTIONS, TEXTS)
    assert found == _hypothesis(LOOP)


def test_a_phrase_stays() -> None:
    before = _hypothesis(LOOP)
    sister = tuple(TOKENIZER.tokenize("sister"))
    once, twice = (SequenceOptions(phrases=(Phrase((sister,)),) * count) for count in (1, 2))
    assert without_loops(before, "a source", once, TEXTS) == without_loops(
        before, "a source", NO_OPTIONS, TEXTS
    )
    assert without_loops(before, "a source", twice, TEXTS) == before


@pytest.mark.parametrize("end", ["", " waits for no no dog"])
def test_loops_are_known_before_any_token_is_there_twice_in_a_row(end: str) -> None:
    before = _hypothesis("for The the thE man" + end)
    found = without_loops(before, "a source", NO_OPTIONS, TEXTS)
    assert found.token_ids == _hypothesis("for The man" + end).token_ids


def test_what_is_banned_does_not_come_about() -> None:
    before = _hypothesis("the red dog dog dog waits")
    options = SequenceOptions(banned=(tuple(TOKENIZER.tokenize("red dog waits")),))
    assert without_loops(before, "a source", NO_OPTIONS, TEXTS) != before
    assert without_loops(before, "a source", options, TEXTS) == before


@pytest.mark.parametrize("limited", [False, True])
def test_of_several_none_is_a_loop(limited: bool) -> None:
    search = GenerationConfig(beam_size=2, num_hypotheses=2, limit_repeats=limited)
    translator, _ = make_translator(_Engine([LOOP + " for apples", LOOP]))
    [translation] = translator.translate(["a car"], generation=search, return_alignments=True)
    said = WITHOUT if limited else LOOP
    assert [each.text for each in translation.hypotheses] == [said + " for apples", said]
    for each in translation.hypotheses:
        assert each.alignments
        assert each.alignments[-1].target[1] == len(each.text)


async def test_nothing_is_told_that_is_left_out() -> None:
    translator, engine = make_translator(FakeEngine(held=True))
    search = GenerationConfig(limit_repeats=True)
    parts: list[str] = []
    stream = translator.stream_async(["a car"], generation=search)

    async def read() -> None:
        async for progress in stream:
            parts.extend(delta.text for delta in progress.deltas)

    reading = asyncio.ensure_future(read())
    await until(lambda: engine.num_submissions)
    [tell] = engine.on_decided
    assert tell is not None
    loop = _hypothesis(LOOP)
    for token in TOKENIZER.tokenize(LOOP.removesuffix(" waits")):
        await asyncio.to_thread(tell, (token,))
    await until(lambda: "".join(parts) == "the old man sees the sister")
    await asyncio.to_thread(engine.finish, 0, hypotheses=(loop,))
    async with asyncio.timeout(30):
        await reading
    assert "".join(parts) == WITHOUT
