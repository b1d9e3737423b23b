"""The compiled engine against the plain loop, for every instruction set that this machine runs."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import GenerationConfig
from model.decoding.reference import generate
from model.decoding.repeats import most_copies
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.engine.native.binding import NativeModel
from model.engine.native.build import build, usable_sets
from model.network.quantization import narrowed
from model.network.transformer import Transformer
from tests.equivalence.native_calls import run, translate
from tests.equivalence.sequence_options import OTHER_SEARCHES, alignment_options, random_options
from tests.tiny_model import tiny_transformer

GREEDY = GenerationConfig(beam_size=1, max_new_tokens_over_source=12)
BEAM = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=12)
GUARDED = GenerationConfig(
    beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens_over_source=12
)
SHAPES: dict[str, dict[str, object]] = {
    "post-norm": {},
    "pre-norm": {"norm_order": "pre", "final_norm": True},
    "BART": {
        "activation": "gelu", "embedding_norm": True, "positions": "learned", "position_offset": 2,
    },
    "odd widths": {"d_model": 24, "num_heads": 3, "d_ff": 40, "projection_bias": True},
    "wide heads": {"d_model": 96, "num_heads": 2},
    "no biases": {"attention_bias": False, "activation": "silu", "shared_embeddings": False},
    "untied": {"tied_projection": False, "activation": "gelu_tanh"},
    "Bergamot": {
        "decoder_kind": "ssru", "positions": "sinusoidal_fairseq", "layer_norm_eps": 1e-9,
        "projection_bias": True,
    },
    "SSRU, pre-norm, odd widths": {
        "decoder_kind": "ssru", "norm_order": "pre", "final_norm": True, "d_model": 24,
        "num_heads": 3, "d_ff": 40, "activation": "gelu_sigmoid",
    },
    "average attention": {"decoder_kind": "average_attention", "d_average": 96},
    "average attention, pre-norm, odd widths": {
        "decoder_kind": "average_attention", "norm_order": "pre", "d_model": 24, "num_heads": 3,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=usable_sets())
def library(request: pytest.FixtureRequest) -> Path:
    return build(request.param)


def random_sources(count: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    return [
        [*(generator.randrange(4, 400) for _ in range(generator.randrange(0, 30))), 2]
        for _ in range(count)
    ]


def tokens(hypotheses: Sequence[Hypothesis]) -> list[tuple[int, ...]]:
    return [hypothesis.token_ids for hypothesis in hypotheses]


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_gives_the_reference(library: Path, shape: str) -> None:
    model = tiny_transformer(seed=5, **SHAPES[shape])
    weights = NativeModel(model, "float32", library=library)
    sources = random_sources(40)
    for generation in (GREEDY, BEAM, GUARDED):
        expected = generate(model, sources, generation)
        for ours, theirs in zip(translate(weights, sources, generation), expected, strict=True):
            assert tokens(ours) == tokens(theirs)
            for mine, other in zip(ours, theirs, strict=True):
                assert mine.score == pytest.approx(other.score, abs=1e-4)
                assert mine.log_prob == pytest.approx(other.log_prob, abs=1e-3)
                assert mine.finish_reason is other.finish_reason


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize(
    "shape", ["post-norm", "pre-norm", "odd widths", "untied", "Bergamot", "average attention"]
)
def test_narrow_arithmetic_gives_its_reference(library: Path, shape: str, precision: str) -> None:
    """Rounding to a few bits turns the last bit of a sum into a visible step, so a few sentences
    of a random model may differ; with wrong arithmetic nearly all would."""
    model = tiny_transformer(seed=5, **SHAPES[shape])
    weights = NativeModel(model, precision, library=library)
    sources = random_sources(64)
    for generation in (GREEDY, BEAM):
        expected = generate(narrowed(model, precision), sources, generation)
        ours = translate(weights, sources, generation)
        same = [
            (mine[0], theirs[0])
            for mine, theirs in zip(ours, expected, strict=True)
            if mine[0].token_ids == theirs[0].token_ids
        ]
        assert len(same) >= 60
        typical = sorted(abs(mine.log_prob - theirs.log_prob) for mine, theirs in same)
        assert typical[len(typical) // 2] < 0.02


def test_narrow_arithmetic_is_not_float32() -> None:
    """So that the test above compares what it says."""
    model = tiny_transformer(seed=5)
    sources = random_sources(64)
    expected = generate(model, sources, BEAM)
    for precision in ("int8", "bfloat16"):
        ours = translate(NativeModel(model, precision), sources, BEAM)
        same = sum(tokens(a)[0] == tokens(b)[0] for a, b in zip(ours, expected, strict=True))
        assert same < 60


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("generation", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_neighbours_change_nothing_not_even_a_bit(
    library: Path, precision: str, generation: GenerationConfig
) -> None:
    weights = NativeModel(tiny_transformer(seed=5), precision, library=library)
    sources = random_sources(48)
    together = translate(weights, sources, generation, newcomers_a_call=48)
    assert together == translate(weights, sources, generation, newcomers_a_call=5)
    assert together == [translate(weights, [source], generation)[0] for source in sources]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_that_share_a_product_change_nothing_not_even_a_bit(precision: str) -> None:
    """Wide enough that products are worth sharing."""
    model = tiny_transformer(seed=5, d_model=256, d_ff=1024)
    sources = random_sources(12)
    alone = NativeModel(model, precision)
    team = NativeModel(model, precision, num_threads=4)
    for generation in (GREEDY, BEAM):
        expected = translate(alone, sources, generation)
        assert translate(team, sources, generation) == expected
        # Two runners at once: now and then one of them works alone and has the others' help.
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(translate, team, sources, generation) for _ in range(2)]
            assert [future.result(timeout=120) for future in both] == [expected, expected]
    # Another model of this process, which has the same threads, or some of them.
    other = NativeModel(model, precision, num_threads=2)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(translate, each, sources, BEAM) for each in (team, other)]
        assert [future.result(timeout=120) for future in both] == [expected, expected]


def test_every_length_up_to_the_limit() -> None:
    """One token, the model's limit, and what lies around the blocks of 16."""
    model = tiny_transformer(seed=5)
    limit = model.config.max_positions
    sources = [[*range(4, 3 + n), 2] for n in (1, 2, 15, 16, 17, 31, 32, 33, limit - 1, limit)]
    generation = GenerationConfig(beam_size=2, max_new_tokens=limit)
    expected = generate(model, sources, generation)
    ours = translate(NativeModel(model, "float32"), sources, generation)
    assert [tokens(h) for h in ours] == [tokens(h) for h in expected]


def test_targets_repeat_what_their_sources_repeat(library: Path) -> None:
    model = tiny_transformer(seed=5)
    blocks = ([5], [7, 4], [6, 8, 9], [4, 4, 9, 6, 7])
    sources = [[9, *block * copies, 5, 2] for block in blocks for copies in (1, 2, 3, 4)]
    generation = GenerationConfig(beam_size=2, limit_repeats=True, max_new_tokens=40)
    expected = generate(model, sources, generation)
    ours = translate(NativeModel(model, "float32", library=library), sources, generation)
    assert [tokens(h) for h in ours] == [tokens(h) for h in expected]
    assert max(most_copies(h[0].token_ids) for h in expected) > 4


def mixed_jobs(count: int) -> list[tuple[list[int], GenerationConfig]]:
    """Every beam from 1 to 8, some guarded, so that all slots are full most of the time."""
    return [
        (
            source,
            GenerationConfig(
                beam_size=1 + index % 8,
                num_hypotheses=1 + index % 8 // 2,
                length_penalty=(0.0, 0.6, 1.5)[index % 3],
                no_repeat_ngram_size=(0, 4, 2, 1)[index % 4],
                repetition_penalty=(1.0, 1.0, 1.2, 1.0, 5.0)[index % 5],
                limit_repeats=index % 3 == 0,
                max_new_tokens_over_source=index % 13,
            ),
        )
        for index, source in enumerate(random_sources(count, seed=3))
    ]


def test_all_kinds_of_searches_in_one_batch(library: Path) -> None:
    model = tiny_transformer(seed=5)
    jobs = mixed_jobs(40)
    ours = run(NativeModel(model, "float32", library=library), jobs)
    for index, (source, generation) in enumerate(jobs):
        assert tokens(ours[index]) == tokens(generate(model, [source], generation)[0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_neighbours_that_are_cancelled_change_nothing_not_even_a_bit(precision: str) -> None:
    weights = NativeModel(tiny_transformer(seed=5), precision)
    jobs = mixed_jobs(120)
    undisturbed = run(weights, jobs)
    left = run(weights, jobs, cancel=random.Random(0))
    assert 30 < len(left) < 110
    assert left == {index: undisturbed[index] for index in left}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_pauses_change_nothing_not_even_a_bit(precision: str) -> None:
    weights = NativeModel(tiny_transformer(seed=5), precision)
    jobs = mixed_jobs(120)
    generator = random.Random(0)
    paused = run(weights, jobs, pause=generator)
    assert paused == run(weights, jobs)
    left = run(weights, jobs, cancel=generator, pause=generator)
    assert 30 < len(left) < 110
    assert left == {index: paused[index] for index in left}


@pytest.mark.parametrize("shape", ["Bergamot", "average attention"])
def test_states_follow_their_hypotheses_whoever_comes_goes_or_pauses(shape: str) -> None:
    model = tiny_transformer(seed=5, **SHAPES[shape])
    weights = NativeModel(model, "float32")
    jobs = mixed_jobs(40)
    undisturbed = run(weights, jobs)
    for index, (source, generation) in enumerate(jobs[:24]):
        assert tokens(undisturbed[index]) == tokens(generate(model, [source], generation)[0])
    generator = random.Random(0)
    assert run(weights, jobs, pause=generator) == undisturbed
    left = run(weights, jobs, cancel=generator, pause=generator)
    assert 10 < len(left) < 38
    assert left == {index: undisturbed[index] for index in left}


@pytest.mark.parametrize("search", OTHER_SEARCHES, ids=range(len(OTHER_SEARCHES)))
def test_what_is_a_sequences_own(library: Path, search: GenerationConfig) -> None:
    model = tiny_transformer(seed=5, projection_bias=True)
    weights = NativeModel(model, "float32", library=library)
    sources = [[5, 6, 7, *source] for source in random_sources(40)]
    options = random_options(40)
    expected = generate(model, sources, search, options)
    for ours, theirs in zip(translate(weights, sources, search, options), expected, strict=True):
        assert tokens(ours) == tokens(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.score == pytest.approx(other.score, abs=1e-4)
            assert mine.finish_reason is other.finish_reason


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("generation", [GREEDY, BEAM, GUARDED], ids=["greedy", "beam", "guarded"])
def test_a_shortlist_gives_the_bits_of_a_smaller_vocabulary(
    library: Path, precision: str, generation: GenerationConfig
) -> None:
    """Those of a model that has the listed tokens alone, and reads them as the other its own."""
    listed = np.unique([0, 1, 2, *random.Random(0).sample(range(400), 150)]).astype(np.int32)
    shape = {"seed": 5, "shared_embeddings": False, "tied_projection": False}
    whole = tiny_transformer(**shape, projection_bias=True)
    part = tiny_transformer(**shape, projection_bias=True, tgt_vocab_size=len(listed))
    with torch.no_grad():
        torch.nn.init.normal_(whole.projection.bias)
        part.load_state_dict(
            whole.state_dict()
            | {
                name: whole.state_dict()[name][listed]
                for name in (
                    "tgt_embedding.tokens.weight",
                    "projection.weight",
                    "projection.bias",
                )
            }
        )
    sources = random_sources(24)
    options = [SequenceOptions(shortlist=listed)] * len(sources)
    restricted = translate(
        NativeModel(whole, precision, library=library), sources, generation, options
    )
    smaller = translate(NativeModel(part, precision, library=library), sources, generation)
    for ours, theirs in zip(restricted, smaller, strict=True):
        assert [(listed[list(h.token_ids)].tolist(), h.score, h.log_prob) for h in theirs] == [
            (list(h.token_ids), h.score, h.log_prob) for h in ours
        ]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_neighbours_with_options_of_their_own_change_nothing_not_even_a_bit(precision: str) -> None:
    weights = NativeModel(tiny_transformer(seed=5), precision)
    sources, options = random_sources(40), random_options(40)
    for generation in (GREEDY, BEAM, GUARDED):
        together = translate(weights, sources, generation, options, newcomers_a_call=40)
        alone = [
            translate(weights, [source], generation, [each])[0]
            for source, each in zip(sources, options, strict=True)
        ]
        assert together == alone
    everything = [SequenceOptions(shortlist=np.arange(400, dtype=np.int32))] * len(sources)
    assert translate(weights, sources, BEAM, everything) == translate(weights, sources, BEAM)


@pytest.mark.parametrize(("first", "last"), [(3, 600), (400, 900), (0, 600), (384, 1000)])
def test_tokens_that_are_impossible(library: Path, first: int, last: int) -> None:
    """Whole pieces of the vocabulary, also at its start, where the sums begin."""
    model = tiny_transformer(seed=5, vocab_size=1000, projection_bias=True)
    with torch.no_grad():
        model.projection.bias[first:last] = float("-inf")
    sources = random_sources(6)
    weights = NativeModel(model, "float32", library=library)
    for generation in (GREEDY, BEAM, GUARDED):
        ours = translate(weights, sources, generation)
        expected = generate(model, sources, generation)
        assert [tokens(h) for h in ours] == [tokens(h) for h in expected]


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_numbers_too_small_to_be_divided_by(library: Path, precision: str) -> None:
    """127 divided by the largest of a row may be infinite."""
    model = tiny_transformer(seed=5)
    with torch.no_grad():
        inner = model.decoder_layers[0].get_submodule("feed_forward.inner")
        for parameter in inner.parameters():
            parameter.mul_(1e-42)
        inner.get_parameter("bias")[1] = 1e-40
    sources = random_sources(6)
    weights = NativeModel(model, precision, library=library)
    expected = generate(narrowed(model, precision), sources, GREEDY)
    ours = translate(weights, sources, GREEDY)
    same = sum(tokens(a) == tokens(b) for a, b in zip(ours, expected, strict=True))
    assert same >= 5


@pytest.mark.parametrize(("beam_size", "num_hypotheses"), [(4, 1), (12, 3)])
def test_a_vocabulary_smaller_than_the_candidates(beam_size: int, num_hypotheses: int) -> None:
    model: Transformer = tiny_transformer(seed=5, vocab_size=6)
    sources = [[4, 5, 2], [5, 2], [2]]
    generation = GenerationConfig(
        beam_size=beam_size, num_hypotheses=num_hypotheses, max_new_tokens=10
    )
    expected = generate(model, sources, generation)
    ours = translate(NativeModel(model, "float32"), sources, generation)
    assert [tokens(h) for h in ours] == [tokens(h) for h in expected]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_step_attends_where_the_reference_does(library: Path, shape: str) -> None:
    heads = ((0, 1), (1, 0), (1, 1))
    model = tiny_transformer(seed=5, alignment_heads=heads, **SHAPES[shape])
    weights = NativeModel(model, "float32", library=library)
    sources = [[5, 6, 7, *source] for source in random_sources(16)]
    for generation in (GREEDY, BEAM, *OTHER_SEARCHES[1:]):
        options = alignment_options(sources)
        expected = generate(model, sources, generation, options)
        jobs = [(source, generation) for source in sources]
        found = run(weights, jobs, options, pause=random.Random(1))
        for index, theirs in enumerate(expected):
            assert tokens(found[index]) == tokens(theirs)
            assert [each.attended for each in found[index]] == [each.attended for each in theirs]


def test_who_asks_for_no_alignment_gets_the_same_without(library: Path) -> None:
    weights = NativeModel(tiny_transformer(seed=5), "float32", library=library)
    sources = random_sources(24)
    asked = translate(
        weights, sources, BEAM, [SequenceOptions(align_to=range(len(each))) for each in sources]
    )
    for ours, plain in zip(asked, translate(weights, sources, BEAM), strict=True):
        assert ours == tuple(
            each._replace(attended=mine.attended) for mine, each in zip(ours, plain, strict=True)
        )
        assert all(each.attended == () for each in plain)
        assert all(
            len(each.attended) == len(each.token_ids) + (each.finish_reason is FinishReason.STOP)
            for each in ours
        )
