"""The CUDA runner against the plain loop, on a CPU that plays the device.

The device's queue is worked off as late as can be, so whatever the host reads or reuses before its
time is wrong in every run. What the kernels compute is compared with the plain operations in
`tests/unit/model/engine/cuda/kernels`; here they run once, all together.
"""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.config import EngineConfig, GenerationConfig
from model.decoding.reference import generate
from model.decoding.search import Hypothesis
from model.decoding.second_pass import second_pass
from model.decoding.sequence_options import SequenceOptions
from model.engine.cuda import device_model, packing
from model.engine.cuda.kernels.operations import Operations
from model.engine.cuda.kernels.plain import PlainOperations
from model.engine.cuda.runner import CudaRunner
from model.engine.engine import Engine
from model.engine.sequence import SequenceResult
from model.network.transformer import Transformer
from tests.equivalence.sequence_options import (
    OTHER_SEARCHES,
    alignment_options,
    lexical_options,
    random_options,
)
from tests.tiny_model import ending_transformer, tiny_transformer
from tests.unit.model.engine.deferred_stream import DeferredStream

GREEDY = GenerationConfig(beam_size=1, max_new_tokens_over_source=12)
BEAM = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=12)
GUARDED = GenerationConfig(
    beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens_over_source=12
)
PAIR = GenerationConfig(beam_size=2, length_penalty=0.0, max_new_tokens_over_source=12)
SEARCHES = [GREEDY, BEAM, GUARDED, PAIR]
CPU = torch.device("cpu")


def fickle_transformer(**changes: object) -> Transformer:
    """Random, and as ready to end as to go on."""
    transformer = tiny_transformer(seed=5, projection_bias=True, **changes)
    with torch.no_grad():
        transformer.projection.bias[2] = 2.5
    return transformer


def random_sources(count: int, longest: int = 30) -> list[list[int]]:
    generator = random.Random(0)
    return [
        [*(generator.randrange(4, 400) for _ in range(generator.randrange(0, longest))), 2]
        for _ in range(count)
    ]


def long_sources(count: int) -> list[list[int]]:
    """Their targets may be longer than a prefix, even by a factor of the source's length."""
    return [[5, 6, 7, *source] for source in random_sources(count)]


def make_runner(
    transformer: Transformer,
    *,
    max_slots: int = 64,
    hasty: bool = False,
    operations: Operations | None = None,
) -> CudaRunner:
    return CudaRunner(
        transformer,
        device=CPU,
        dtype=torch.float32,
        max_slots=max_slots,
        stream=DeferredStream(hasty=hasty),
        operations=operations or PlainOperations(torch.float32),
        beams=(),
    )


@contextmanager
def opened(runner: CudaRunner, transformer: Transformer) -> Iterator[Engine]:
    config = EngineConfig(device="cpu", max_slots=runner.max_slots)
    with closing(Engine(transformer, config, runners=[runner])) as engine:
        yield engine


def check(result: SequenceResult, wanted: tuple[Hypothesis, ...]) -> None:
    assert [(h.token_ids, h.finish_reason, h.attended) for h in result.hypotheses] == [
        (h.token_ids, h.finish_reason, h.attended) for h in wanted
    ]
    for found, hypothesis in zip(result.hypotheses, wanted, strict=True):
        assert found.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-3)
        assert found.score == pytest.approx(hypothesis.score, abs=1e-3)


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    return fickle_transformer()


@pytest.fixture(scope="module")
def alone(transformer: Transformer) -> dict[tuple[int, int], tuple[Hypothesis, ...]]:
    """What the plain loop makes of each of 32 sources by itself, for each search."""
    return {
        (search, index): generate(transformer, [source], SEARCHES[search])[0]
        for search in range(len(SEARCHES))
        for index, source in enumerate(random_sources(32))
    }


@pytest.fixture(params=[False, True], ids=["slow device", "slow host"])
def engine(request: pytest.FixtureRequest, transformer: Transformer) -> Iterator[Engine]:
    with opened(make_runner(transformer, hasty=request.param), transformer) as engine:
        yield engine


def test_the_sources_end_in_every_way(alone) -> None:
    reasons = {h.finish_reason for hypotheses in alone.values() for h in hypotheses}
    lengths = {len(hypotheses[0].token_ids) for hypotheses in alone.values()}
    assert len(reasons) == 2
    assert len(lengths) > 20


@pytest.mark.parametrize("search", range(len(SEARCHES)))
@pytest.mark.parametrize("neighbours", [1, 2, 7, 32])
def test_a_sentence_gives_the_same_whatever_its_neighbours(
    alone, engine, search: int, neighbours: int
) -> None:
    futures = engine.submit(random_sources(neighbours), SEARCHES[search])
    for index, future in enumerate(futures):
        check(future.result(timeout=120), alone[search, index])


def test_searches_of_every_kind_run_side_by_side(alone, engine) -> None:
    futures = [
        (index % 4, index, engine.submit([source], SEARCHES[index % 4])[0])
        for index, source in enumerate(random_sources(32))
    ]
    for search, index, future in futures:
        check(future.result(timeout=120), alone[search, index])


def test_joining_late_and_leaving_early_change_nothing(alone, engine) -> None:
    """Each newcomer is submitted when an earlier sequence has just finished."""
    generator = random.Random(1)
    sources = random_sources(32)
    open_futures = {}
    for index, source in enumerate(sources):
        search = generator.randrange(4)
        open_futures[index] = search, engine.submit([source], SEARCHES[search])[0]
        if len(open_futures) >= 8:
            done = min(open_futures)
            search, future = open_futures.pop(done)
            check(future.result(timeout=120), alone[search, done])
        if index % 5 == 0:  # somebody who does not stay
            engine.cancel(engine.submit([sources[generator.randrange(32)]], BEAM))
    for index, (search, future) in open_futures.items():
        check(future.result(timeout=120), alone[search, index])


@pytest.mark.parametrize("max_slots", [4, 5, 9])
def test_few_slots_give_the_same_as_many(transformer, alone, max_slots: int) -> None:
    with opened(make_runner(transformer, max_slots=max_slots), transformer) as engine:
        futures = [
            (search, index, engine.submit([source], SEARCHES[search])[0])
            for index, source in enumerate(random_sources(12))
            for search in (0, 1, 3)
        ]
        for search, index, future in futures:
            check(future.result(timeout=120), alone[search, index])


def test_the_longest_and_the_shortest_side_by_side(transformer) -> None:
    """One source as long as the model allows among many of one token; limits of one token, too."""
    generator = random.Random(2)
    longest = [*(generator.randrange(4, 400) for _ in range(63)), 2]
    sources = [[2], longest, [2], [7, 2]] * 3
    searches = [
        GREEDY,
        BEAM,
        GenerationConfig(beam_size=1, max_new_tokens=1),
        GenerationConfig(beam_size=4, num_hypotheses=4, max_new_tokens=1),
        GenerationConfig(beam_size=2, max_new_tokens=64),
    ]
    with opened(make_runner(transformer, max_slots=12), transformer) as engine:
        for search in searches:
            futures = engine.submit(sources, search)
            for source, future in zip(sources, futures, strict=True):
                check(future.result(timeout=120), generate(transformer, [source], search)[0])


def test_a_storm_of_cancellations(alone, engine) -> None:
    """Most give up at once, in every state; who stays gets what they would have got alone."""
    generator = random.Random(3)
    sources = random_sources(32)
    staying = []
    for _ in range(12):
        search = generator.randrange(4)
        futures = engine.submit(sources, SEARCHES[search])
        kept = generator.randrange(32)
        staying.append((search, kept, futures[kept]))
        engine.cancel(future for future in futures if future is not futures[kept])
    for search, index, future in staying:
        check(future.result(timeout=120), alone[search, index])
    assert engine.stats().slots_used == 0


def test_nobody_reads_a_slot_that_is_not_theirs(transformer, alone) -> None:
    """Slots are full of what is no number, and their searches of somebody else's."""
    runner = make_runner(transformer)
    memory = runner._memory
    with torch.inference_mode():
        for cache in (
            memory.self_keys, memory.self_values, memory.states, memory.cross_keys,
            memory.cross_values,
        ):  # fmt: skip
            cache.fill_(float("nan"))
        memory.live_log_probs.fill_(float("nan"))
        memory.ancestors.fill_(memory.spare)
        memory.trace[:, 1:] = 12345
    with opened(runner, transformer) as engine:
        for search in range(len(SEARCHES)):
            futures = engine.submit(random_sources(16), SEARCHES[search])
            for index, future in enumerate(futures):
                check(future.result(timeout=120), alone[search, index])


@pytest.mark.parametrize("search", range(len(OTHER_SEARCHES)))
def test_what_is_a_sequences_own_among_others(transformer, engine, search: int) -> None:
    sources, options = long_sources(20), random_options(20)
    futures = engine.submit(sources, OTHER_SEARCHES[search], options=options)
    for source, each, future in zip(sources, options, futures, strict=True):
        check(
            future.result(timeout=120),
            generate(transformer, [source], OTHER_SEARCHES[search], [each])[0],
        )


@pytest.mark.parametrize("search", [GREEDY, BEAM, GUARDED, *OTHER_SEARCHES], ids=str)
@pytest.mark.parametrize("hasty", [False, True], ids=["slow device", "slow host"])
def test_each_step_attends_where_the_reference_does(hasty: bool, search) -> None:
    transformer = fickle_transformer(alignment_heads=((0, 1), (1, 0), (1, 1)))
    sources = long_sources(20)
    options = alignment_options(sources)
    with opened(make_runner(transformer, hasty=hasty), transformer) as engine:
        futures = engine.submit(sources, search, options=options)
        for source, each, future in zip(sources, options, futures, strict=True):
            check(future.result(timeout=120), generate(transformer, [source], search, [each])[0])


SHAPES = [
    {"norm_order": "pre", "final_norm": True, "activation": "gelu"},
    {"norm_order": "post", "final_norm": True, "embedding_norm": True, "position_offset": 2},
    {"norm_order": "pre", "positions": "learned", "attention_bias": False},
    {"positions": "sinusoidal_halves", "activation": "silu", "scale_embedding": False},
    {"shared_embeddings": False, "tied_projection": False, "num_encoder_layers": 3},
    {"decoder_kind": "ssru", "positions": "sinusoidal_fairseq"},
    {"decoder_kind": "ssru", "norm_order": "pre", "final_norm": True},
    {"decoder_kind": "average_attention", "d_average": 48},
    {"decoder_kind": "average_attention", "norm_order": "pre"},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("narrow", [0, 64], ids=["wide", "narrow"])
def test_every_shape_of_a_model(monkeypatch, shape: dict[str, object], narrow: int) -> None:
    monkeypatch.setattr(device_model, "_NARROW", narrow)
    transformer = fickle_transformer(**shape)
    sources = random_sources(6)
    options = [SequenceOptions(align_to=range(len(source))) for source in sources]
    with opened(make_runner(transformer), transformer) as engine:
        for search in (GREEDY, BEAM):
            futures = engine.submit(sources, search, options=options)
            for source, each, future in zip(sources, options, futures, strict=True):
                wanted = generate(transformer, [source], search, [each])[0]
                check(future.result(timeout=120), wanted)


@pytest.mark.parametrize(("narrow", "searches"), [(0, [0]), (64, [2])])
def test_the_kernels_all_together(
    monkeypatch, alone, transformer, narrow: int, searches: list[int]
) -> None:
    from model.engine.cuda.kernels.fused import FusedOperations

    monkeypatch.setattr(device_model, "_NARROW", narrow)
    # The interpreter takes a second for some hundred tokens.
    monkeypatch.setattr(packing, "_LARGEST_BUCKET", 16)
    sources = random_sources(32, longest=30)
    chosen = sorted(range(32), key=lambda index: len(sources[index]))[:2]
    operations = FusedOperations(torch.float32)
    with opened(
        make_runner(transformer, max_slots=8, operations=operations), transformer
    ) as engine:
        for search in searches:
            futures = engine.submit([sources[index] for index in chosen], SEARCHES[search])
            for index, future in zip(chosen, futures, strict=True):
                check(future.result(timeout=250), alone[search, index])


def test_the_kernels_with_a_prefix_a_shortlist_and_an_alignment(monkeypatch, transformer) -> None:
    from model.engine.cuda.kernels.fused import FusedOperations

    monkeypatch.setattr(packing, "_LARGEST_BUCKET", 16)
    search = GenerationConfig(
        beam_size=2, search="transformers", length_normalization="mean", max_new_tokens=6
    )
    allowed = np.array([2, 5, 70, 399], np.int32)
    options = [SequenceOptions(target_prefix=(9, 8), shortlist=allowed, align_to=range(1, 3))]
    operations = FusedOperations(torch.float32)
    with opened(
        make_runner(transformer, max_slots=2, operations=operations), transformer
    ) as engine:
        [future] = engine.submit([[5, 6, 2]], search, options=options)
        check(future.result(timeout=250), generate(transformer, [[5, 6, 2]], search, options)[0])


@pytest.mark.parametrize("search", [*SEARCHES, *OTHER_SEARCHES], ids=range(8))
def test_lexical_constraints(search: GenerationConfig) -> None:
    model = ending_transformer()
    sources = long_sources(20)
    said = [found[0].token_ids for found in generate(model, sources, GREEDY)]
    options = [
        replace(each, phrases=each.phrases if index % 4 else ())
        for index, each in enumerate(lexical_options(sources, said))
    ]
    wanted = [
        searched(model, source, search, each) for source, each in zip(sources, options, strict=True)
    ]
    if search in (GREEDY, BEAM):
        assert any(passes for _, passes in wanted)
    runner = make_runner(model)
    with opened(runner, model) as engine:
        found = [
            engine.submit([source], search, options=[each])[0]
            for source, each in zip(sources, options, strict=True)
        ]
        for (expected, _), future in zip(wanted, found, strict=True):
            result = future.result(timeout=120)
            check(result, expected)
            assert [each.missed for each in result.hypotheses] == [each.missed for each in expected]


def searched(
    model: Transformer, source: list[int], search: GenerationConfig, options: SequenceOptions
) -> tuple[tuple[Hypothesis, ...], int]:
    """What the plain loop finds with all passes, and how many came after the first."""
    limit = search.target_limit(len(source), 64)
    found, again, passes = generate(model, [source], search, [options])[0], None, 0
    while (again := second_pass(found, options, again)) is not None:
        if len(again.options.target_prefix) >= limit:
            break
        found = again.whole(generate(model, [source], search, [again.options])[0])
        passes += 1
    return found, passes
