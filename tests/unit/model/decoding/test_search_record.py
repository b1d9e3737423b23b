"""The search that is recorded finds what the plain loop finds, and tells all that it looked at."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from model.config import DecoderKind, GenerationConfig, NormOrder, PositionKind
from model.decoding.candidate_state import CandidateState
from model.decoding.phrases import Phrase
from model.decoding.reference import generate
from model.decoding.search_record import SearchRecord, record_search
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.errors import InvalidRequestError
from model.network.transformer import Transformer
from tests.equivalence.sequence_options import OTHER_SEARCHES, alignment_options
from tests.tiny_model import tiny_transformer

EOS = 2
MOST = 5_000
BEAM = GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=6)
SHAPES: list[dict[str, Any]] = [
    {},
    {"decoder_kind": DecoderKind.SSRU, "shared_embeddings": False, "tied_projection": False},
    {"decoder_kind": DecoderKind.AVERAGE_ATTENTION, "d_average": 12, "projection_bias": True},
    {"norm_order": NormOrder.POST, "final_norm": False, "attention_bias": False},
    {"positions": PositionKind.LEARNED, "position_offset": 2, "embedding_norm": True},
]


def sources(count: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    return [
        [*generator.choices(range(4, 400), k=generator.randrange(1, 9)), EOS] for _ in range(count)
    ]


def check(
    network: Transformer,
    source: list[int],
    generation: GenerationConfig,
    options: SequenceOptions = NO_OPTIONS,
) -> SearchRecord:
    """Holds a record against the plain loop."""
    found = record_search(network, source, generation, options, most_candidates=MOST)
    [expected] = generate(network, [source], generation, [options])
    assert [each.token_ids for each in found.hypotheses] == [each.token_ids for each in expected]
    for one, other in zip(found.hypotheses, expected, strict=True):
        assert one._replace(score=0, log_prob=0) == other._replace(score=0, log_prob=0)
        assert one.score == pytest.approx(other.score, abs=1e-4)
    tokens = tuple(found.nodes[number].token_id for number in found.best)
    written = (*options.target_prefix, *expected[0].token_ids)
    assert tuple(token for token in tokens if token != EOS) == written
    last = found.nodes[found.best[-1]]
    assert last.state is CandidateState.ENDED
    assert last.score == pytest.approx(expected[0].score, abs=1e-4)
    return found


@pytest.mark.parametrize("changes", SHAPES)
def test_it_is_the_search_of_each_kind_of_network(changes: dict[str, Any]) -> None:
    network = tiny_transformer(seed=5, **changes)
    for source in sources(3):
        check(network, source, BEAM)


@pytest.mark.parametrize(
    "generation",
    [
        *OTHER_SEARCHES,
        GenerationConfig(beam_size=1, max_new_tokens=9),
        GenerationConfig(
            beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens=9
        ),
    ],
)
def test_it_is_each_kind_of_search(generation: GenerationConfig) -> None:
    network = tiny_transformer(seed=5)
    some = sources(8)
    for source, options in zip(some, alignment_options(some), strict=True):
        if len(options.target_prefix) < generation.target_limit(len(source), 64):
            check(network, source, generation, options)


def test_it_is_bound_to_phrases() -> None:
    network = tiny_transformer(seed=5)
    [source] = sources(1)
    options = SequenceOptions(phrases=(Phrase(forms=((7, 8),)),), align_to=range(len(source)))
    found = check(network, source, BEAM, options)
    tokens = [found.nodes[number].token_id for number in found.best]
    assert (7, 8) in pairwise(tokens)


def test_each_candidate_goes_on_from_one_that_was_kept() -> None:
    network = tiny_transformer(seed=5)
    [source] = sources(1, seed=3)
    found = check(network, source, BEAM)
    depths: list[int] = []
    for node in found.nodes:
        if node.parent is None:
            depths.append(1)
            continue
        parent = found.nodes[node.parent]
        assert parent.state is CandidateState.KEPT
        assert node.log_prob <= parent.log_prob
        depths.append(depths[node.parent] + 1)
    assert depths == sorted(depths)
    for depth in set(depths):
        states = [node.state for node, of in zip(found.nodes, depths, strict=True) if of == depth]
        assert len(states) <= 2 * BEAM.beam_size
        assert states.count(CandidateState.KEPT) <= BEAM.beam_size
    assert {node.state for node in found.nodes} == set(CandidateState)


def test_the_record_is_bounded() -> None:
    network = tiny_transformer(seed=5)
    with pytest.raises(InvalidRequestError, match="no more than 20 candidates, but has looked"):
        record_search(network, [5, 6, 7, EOS], BEAM, NO_OPTIONS, most_candidates=20)


def test_it_ends_between_layers() -> None:
    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        record_search(
            tiny_transformer(), [5, EOS], BEAM, NO_OPTIONS, most_candidates=MOST, check=stop
        )
