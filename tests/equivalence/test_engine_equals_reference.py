"""The engine against the plain loop: alone, among neighbours, joining late, after others left."""

import random
from concurrent.futures import Future

import pytest

from model.config import EngineConfig, GenerationConfig
from model.decoding.reference import generate
from model.engine.engine import Engine
from model.engine.sequence import SequenceResult
from model.transformer import Transformer
from tests.tiny_model import poison, tiny_transformer

GREEDY = GenerationConfig(beam_size=1, max_new_tokens_over_source=12)
BEAM = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=12)
GUARDED = GenerationConfig(
    beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens_over_source=12
)
SEARCHES = [GREEDY, BEAM, GUARDED]


def random_sources(model: Transformer, count: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    return [
        [*(generator.randrange(4, 400) for _ in range(generator.randrange(0, 30))), 2]
        for _ in range(count)
    ]


def tokens(result: SequenceResult) -> list[tuple[int, ...]]:
    return [hypothesis.token_ids for hypothesis in result.hypotheses]


def wait(futures: list[Future[SequenceResult]]) -> list[SequenceResult]:
    return [future.result(timeout=120) for future in futures]


@pytest.fixture(scope="module")
def model() -> Transformer:
    return tiny_transformer(seed=5)


@pytest.fixture(scope="module")
def alone(model: Transformer) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """What the plain loop makes of each of 64 sources by itself, for each search."""
    return {
        (search, index): [h.token_ids for h in generate(model, [source], SEARCHES[search])[0]]
        for search in range(len(SEARCHES))
        for index, source in enumerate(random_sources(model, 64))
    }


@pytest.fixture
def engine():
    engine = Engine(tiny_transformer(seed=5), EngineConfig(device="cpu", max_slots=64))
    yield engine
    engine.close()


@pytest.mark.parametrize("search", range(len(SEARCHES)))
def test_the_plain_loop_gives_the_same_in_a_batch(model, alone, search: int) -> None:
    sources = random_sources(model, 16)
    batch = generate(model, sources, SEARCHES[search])
    for index, hypotheses in enumerate(batch):
        assert [h.token_ids for h in hypotheses] == alone[search, index]


@pytest.mark.parametrize("search", range(len(SEARCHES)))
@pytest.mark.parametrize("neighbours", [1, 2, 7, 64])
def test_a_sentence_gives_the_same_whatever_its_neighbours(
    model, alone, engine, search: int, neighbours: int
) -> None:
    results = wait(engine.submit(random_sources(model, neighbours), SEARCHES[search]))
    for index, result in enumerate(results):
        assert tokens(result) == alone[search, index]


def test_searches_of_every_kind_share_a_batch(model, alone, engine) -> None:
    sources = random_sources(model, 64)
    futures = [
        (i % 3, i, engine.submit([source], SEARCHES[i % 3])[0]) for i, source in enumerate(sources)
    ]
    for search, index, future in futures:
        assert tokens(future.result(timeout=120)) == alone[search, index]


def test_joining_late_and_leaving_early_change_nothing(model, alone, engine) -> None:
    """Each newcomer is submitted when an earlier sequence has just finished."""
    sources = random_sources(model, 64)
    generator = random.Random(1)
    open_futures = {}
    for index, source in enumerate(sources):
        search = generator.randrange(3)
        open_futures[index] = (search, engine.submit([source], SEARCHES[search])[0])
        if len(open_futures) >= 10:
            done = min(open_futures)
            search, future = open_futures.pop(done)
            assert tokens(future.result(timeout=120)) == alone[search, done]
        if index % 9 == 0:  # somebody who does not stay
            engine.cancel(engine.submit([sources[0]], BEAM))
    for index, (search, future) in open_futures.items():
        assert tokens(future.result(timeout=120)) == alone[search, index]


def test_few_slots_give_the_same_as_many(model, alone) -> None:
    engine = Engine(tiny_transformer(seed=5), EngineConfig(device="cpu", max_slots=5))
    try:
        results = wait(engine.submit(random_sources(model, 24), BEAM))
    finally:
        engine.close()
    for index, result in enumerate(results):
        assert tokens(result) == alone[1, index]


def test_nobody_reads_a_slot_that_is_not_theirs(model, alone, engine) -> None:
    """Slots are full of somebody else's numbers before they are used."""
    import torch

    poison(engine._runner.cache, torch.arange(64))
    results = wait(engine.submit(random_sources(model, 64), BEAM))
    for index, result in enumerate(results):
        assert tokens(result) == alone[1, index]
