"""The engine against the plain loop: alone, among neighbours, joining late, after others left."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
import torch

from model.config import EngineConfig, GenerationConfig
from model.decoding.phrases import Phrase, trace
from model.decoding.reference import generate
from model.decoding.second_pass import second_pass
from model.decoding.sequence_options import SequenceOptions
from model.engine.eager.runner import EagerRunner
from model.engine.engine import Engine
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.network.transformer import Transformer
from tests.equivalence.sequence_options import OTHER_SEARCHES, alignment_options, random_options
from tests.tiny_model import ending_transformer, poison, tiny_transformer

GREEDY = GenerationConfig(beam_size=1, max_new_tokens_over_source=12)
BEAM = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=12)
GUARDED = GenerationConfig(
    beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens_over_source=12
)
SEARCHES = [GREEDY, BEAM, GUARDED]


class Path(NamedTuple):
    """One way through the engine."""

    config: dict[str, object]
    """Fields of its EngineConfig, besides the slots."""
    reference: Callable[[Transformer], Transformer] = lambda model: model
    """The model whose plain loop must give the same."""


PATHS = {
    "eager": Path({"device": "cpu", "backend": "eager", "dtype": "float32", "num_threads": 1}),
    "native": Path({"backend": "native", "dtype": "float32", "num_threads": 2}),
}


def open_engine(
    path: Path,
    max_slots: int = 64,
    *,
    alignment_heads: object = (),
    model: Transformer | None = None,
    **config: object,
) -> Engine:
    """With `max_slots` for each worker."""
    values = {**path.config, **config}
    workers = values.get("num_threads", 1) if values["backend"] == "native" else 1
    values["max_slots"] = max_slots * workers  # type: ignore[operator]
    if model is None:
        model = tiny_transformer(seed=5, alignment_heads=alignment_heads)
    return Engine(model, EngineConfig(**values))  # type: ignore[arg-type]


def random_sources(model: Transformer, count: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    return [
        [*(generator.randrange(4, 400) for _ in range(generator.randrange(0, 30))), 2]
        for _ in range(count)
    ]


def tokens(result: SequenceResult) -> list[tuple[int, ...]]:
    return [hypothesis.token_ids for hypothesis in result.hypotheses]


def wait(futures: list[ResultFuture[SequenceResult]]) -> list[SequenceResult]:
    return [future.result(timeout=120) for future in futures]


@pytest.fixture(scope="module", params=PATHS.values(), ids=PATHS)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def model(path: Path) -> Transformer:
    return path.reference(tiny_transformer(seed=5))


@pytest.fixture(scope="module")
def alone(model: Transformer) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """What the plain loop makes of each of 64 sources by itself, for each search."""
    return {
        (search, index): [h.token_ids for h in generate(model, [source], SEARCHES[search])[0]]
        for search in range(len(SEARCHES))
        for index, source in enumerate(random_sources(model, 64))
    }


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with closing(open_engine(path)) as engine:
        yield engine


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


@pytest.mark.parametrize("search", OTHER_SEARCHES, ids=range(len(OTHER_SEARCHES)))
def test_what_is_a_sequences_own_among_others(model, engine, search: GenerationConfig) -> None:
    sources = [[5, 6, 7, *source] for source in random_sources(model, 24)]
    options = random_options(24)
    results = wait(engine.submit(sources, search, options=options))
    for source, each, result in zip(sources, options, results, strict=True):
        [hypotheses] = generate(model, [source], search, [each])
        assert tokens(result) == [hypothesis.token_ids for hypothesis in hypotheses]


@pytest.mark.parametrize("search", range(len(SEARCHES)))
def test_alignments_are_the_same_among_others(path, search: int) -> None:
    heads = ((0, 1), (1, 0), (1, 1))
    model = path.reference(tiny_transformer(seed=5, alignment_heads=heads))
    sources = [[5, 6, 7, *source] for source in random_sources(model, 16)]
    options = alignment_options(sources)
    with closing(open_engine(path, max_slots=16, alignment_heads=heads)) as engine:
        results = wait(engine.submit(sources, SEARCHES[search], options=options))
    asked = 0
    for source, each, result in zip(sources, options, results, strict=True):
        [hypotheses] = generate(model, [source], SEARCHES[search], [each])
        assert tokens(result) == [hypothesis.token_ids for hypothesis in hypotheses]
        for found, expected in zip(result.hypotheses, hypotheses, strict=True):
            assert found.attended == expected.attended
            asked += len(found.attended) if each.align_to is not None else 0
            assert bool(found.attended) == (each.align_to is not None)
    assert asked > 100


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


def test_a_large_request_that_pauses_gives_the_same_as_one_alone(path, model, alone) -> None:
    """Small ones come one after the other, so that the large one stops and goes on many times."""
    sources = random_sources(model, 64)
    with closing(open_engine(path, max_slots=8)) as engine:
        large = engine.submit(sources, BEAM)
        index = 0
        while not all(future.done() for future in large):
            search = (0, 2)[index % 2]
            [result] = wait(engine.submit([sources[index % 64]], SEARCHES[search]))
            assert tokens(result) == alone[search, index % 64]
            index += 1
        assert index >= 8
        for number, result in enumerate(wait(large)):
            assert tokens(result) == alone[1, number]


def test_few_slots_give_the_same_as_many(path, model, alone) -> None:
    with closing(open_engine(path, max_slots=5)) as engine:
        results = wait(engine.submit(random_sources(model, 24), BEAM))
    for index, result in enumerate(results):
        assert tokens(result) == alone[1, index]


def test_few_tokens_at_a_time_give_the_same_as_many(path, model, alone) -> None:
    with closing(open_engine(path, encode_token_budget=20)) as engine:
        results = wait(engine.submit(random_sources(model, 24), BEAM))
    for index, result in enumerate(results):
        assert tokens(result) == alone[1, index]


@pytest.mark.parametrize(
    "changes", [{}, {"decoder_kind": "ssru"}, {"decoder_kind": "average_attention"}]
)
def test_nobody_reads_a_slot_that_is_not_theirs(changes: dict[str, object]) -> None:
    """Slots are full of somebody else's numbers before they are used."""
    model = tiny_transformer(seed=5, **changes)
    cpu = torch.device("cpu")
    runner = EagerRunner(model, device=cpu, dtype=torch.float32, max_slots=64)
    poison(runner.cache, torch.arange(64))
    sources = random_sources(model, 64)
    with closing(Engine(model, EngineConfig(), runners=[runner])) as engine:
        results = wait(engine.submit(sources, BEAM))
    for source, result in zip(sources, results, strict=True):
        assert tokens(result) == [h.token_ids for h in generate(model, [source], BEAM)[0]]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_phrase_that_misses_its_place_is_searched_for_again(path: Path, beam_size: int) -> None:
    """The last one of several passes tells the whole target, with all of its phrases."""
    model = path.reference(ending_transformer())
    search = GenerationConfig(
        beam_size=beam_size, num_hypotheses=beam_size, max_new_tokens_over_source=25
    )
    sources = [[5, 6, 7, *source] for source in random_sources(model, 24)]
    first = [
        SequenceOptions(phrases=(Phrase(((seed + 4, 399),)),), target_prefix=(9,) * (seed % 3))
        for seed in range(len(sources))
    ]
    once = generate(model, sources, search, first)
    assert sum(each.missed is not None for found in once for each in found) > 3
    with closing(open_engine(path, model=model)) as engine:
        found = wait(
            [
                engine.submit([source], search, options=[each])[0]
                for source, each in zip(sources, first, strict=True)
            ]
        )
    for source, options, plain, result in zip(sources, first, once, found, strict=True):
        expected, again = plain, None
        while (again := second_pass(expected, options, again)) is not None:
            expected = again.whole(generate(model, [source], search, [again.options])[0])
        assert tokens(result) == [each.token_ids for each in expected]
        for each in expected:
            assert [span.number for span in trace(each.token_ids, options)] == [0]
