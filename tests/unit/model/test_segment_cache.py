"""What is kept of segments: the same result as without, within its bytes, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from model.config import EngineConfig, GenerationConfig
from model.errors import DeadlineExceededError
from model.segment_cache import CacheCounts, ModelCache, SegmentCache
from model.text_options import TextOptions
from model.translation import Translation
from model.translator import Translator
from tests.tiny_model import build_tiny_model
from tests.unit.model.fake_engine import FakeEngine, echo
from tests.unit.model.test_translator import THREE, make_translator

TEXTS = ["The red house. The red house.", "Two 12 apples.", "The red house."]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture
def cache() -> SegmentCache:
    return SegmentCache(1 << 20)


@pytest.fixture
def translator(directory: Path, cache: SegmentCache) -> Iterator[Translator]:
    config = EngineConfig(num_threads=1)
    with Translator.load(directory, config, cache=ModelCache(cache, "m")) as loaded:
        yield loaded


def _untimed(translations: list[Translation]) -> list[Translation]:
    return [
        replace(
            each, queue_seconds=0, encode_seconds=0, decode_seconds=0,
            time_to_first_token_seconds=None,
        )
        for each in translations
    ]  # fmt: skip


def test_results_are_the_same_as_without(
    directory: Path, translator: Translator, cache: SegmentCache
) -> None:
    with Translator.load(directory, EngineConfig(num_threads=1)) as without:
        for search in (
            GenerationConfig(beam_size=1),
            GenerationConfig(beam_size=3, num_hypotheses=2),
        ):
            for options in (TextOptions(), TextOptions(banned_terms=("the",), keep=("red",))):
                for aligned in (False, True):
                    arguments = {
                        "generation": search, "text_options": options, "return_alignments": aligned,
                    }  # fmt: skip
                    plain = _untimed(without.translate(TEXTS, **arguments))  # type: ignore[arg-type]
                    for _ in range(2):
                        found = _untimed(translator.translate(TEXTS, **arguments))  # type: ignore[arg-type]
                        assert found == plain
    counts = cache.take_counts()["m"]
    # What is aligned anyway, for what it has to keep, is the same whether links are asked for.
    assert counts == CacheCounts(hits=52, misses=12)
    assert cache.take_counts() == {}


def test_a_request_may_do_without(translator: Translator, cache: SegmentCache) -> None:
    translator.translate(TEXTS)
    cache.take_counts()
    translator.translate(TEXTS, use_cache=False)
    assert cache.take_counts() == {}


def test_models_do_not_share_results(
    translator: Translator, cache: SegmentCache, tmp_path: Path
) -> None:
    other = build_tiny_model(tmp_path / "other", seed=1)
    translator.translate(TEXTS)
    config = EngineConfig(num_threads=1)
    with Translator.load(other, config) as without:
        plain = _untimed(without.translate(TEXTS))
    with Translator.load(other, config, cache=ModelCache(cache, "n")) as loaded:
        assert _untimed(loaded.translate(TEXTS)) == plain
    assert cache.take_counts()["n"] == CacheCounts(hits=2, misses=2)


def test_a_model_that_is_loaded_anew_finds_what_it_has_found(
    directory: Path, translator: Translator, cache: SegmentCache
) -> None:
    plain = translator.translate(TEXTS)
    cache.take_counts()
    with Translator.load(
        directory, EngineConfig(num_threads=1), cache=ModelCache(cache, "m")
    ) as again:
        assert _untimed(again.translate(TEXTS)) == _untimed(plain)
    assert cache.take_counts()["m"].misses == 0


async def test_a_stream_has_what_is_kept(translator: Translator, cache: SegmentCache) -> None:
    plain = translator.translate(TEXTS)
    cache.take_counts()
    async with asyncio.timeout(60):
        events = [each async for each in translator.stream_async(TEXTS)]
    assert [each.text for event in events for each in event.done] == [each.text for each in plain]
    assert cache.take_counts()["m"].misses == 0


def _held(cache: SegmentCache) -> tuple[Translator, FakeEngine]:
    translator, engine = make_translator(FakeEngine(held=True))
    translator._searches._cache = ModelCache(cache, "m", "x")
    return translator, engine


async def test_equal_segments_of_a_call_are_searched_for_once(cache: SegmentCache) -> None:
    translator, engine = _held(cache)
    task = asyncio.create_task(translator.translate_async([*THREE, *THREE]))
    async with asyncio.timeout(30):
        while not engine.num_submissions:
            await asyncio.sleep(0)
    assert len(engine.sources) == 4
    engine.finish_all()
    assert [each.text for each in await task] == [*THREE, *THREE]
    assert cache.take_counts()["m"] == CacheCounts(hits=4, misses=4)


async def test_what_fails_is_not_kept(cache: SegmentCache) -> None:
    translator, engine = _held(cache)
    for number in (0, 1):
        task = asyncio.create_task(translator.translate_async(["the red car."]))
        async with asyncio.timeout(30):
            while len(engine.sources) == number:
                await asyncio.sleep(0)
        engine.fail(number, DeadlineExceededError("late"))
        with pytest.raises(DeadlineExceededError):
            await task
    assert cache.size_bytes == 0


def test_it_stays_within_its_bytes_and_drops_who_was_asked_for_first() -> None:
    cache = SegmentCache(300)
    result = echo([4, 5, 2])
    for key in "abc":
        cache.put(key, result, 100)
    assert cache.get("a", "m") is result
    cache.put("d", result, 100)
    assert [cache.get(key, "m") is result for key in "abcd"] == [True, False, True, True]
    cache.put("e", result, 301)
    assert cache.get("e", "m") is None
    cache.put("a", result, 250)
    assert cache.size_bytes == 250
    assert cache.take_counts()["m"] == CacheCounts(hits=4, misses=2)
