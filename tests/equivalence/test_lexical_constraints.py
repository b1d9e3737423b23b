"""What lexically constrained searches write, by the plain loop and by the compiled engine."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from model.config import GenerationConfig
from model.decoding.phrases import trace
from model.decoding.reference import generate
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.sequence_options import SequenceOptions
from model.engine.native.binding import NativeModel
from tests.equivalence.native_calls import translate
from tests.equivalence.sequence_options import OTHER_SEARCHES, lexical_options
from tests.tiny_model import ending_transformer

EOS = 2
SEARCHES = [
    GenerationConfig(beam_size=1, max_new_tokens_over_source=25),
    GenerationConfig(beam_size=4, num_hypotheses=3, max_new_tokens_over_source=25),
    GenerationConfig(
        beam_size=3, no_repeat_ngram_size=2, repetition_penalty=1.3, max_new_tokens_over_source=25
    ),
    *OTHER_SEARCHES,
]


def sources_and_options(count: int, seed: int) -> tuple[list[list[int]], list[SequenceOptions]]:
    generator = random.Random(seed)
    sources = [
        [*(generator.randrange(4, 400) for _ in range(generator.randrange(3, 20))), EOS]
        for _ in range(count)
    ]
    said = [found[0].token_ids for found in generate(ending_transformer(), sources, SEARCHES[0])]
    return sources, lexical_options(sources, said, seed=seed)


@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
def test_phrases_are_written_once_and_nothing_else_that_is_guarded(
    search: GenerationConfig,
) -> None:
    sources, options = sources_and_options(40, seed=1)
    found = generate(ending_transformer(), sources, search, options)
    best = [hypotheses[0] for hypotheses in found]
    assert sum(each.finish_reason is FinishReason.STOP for each in best) > 5
    assert any(each.missed is not None for each in best)
    for source, bound, hypotheses in zip(sources, options, found, strict=True):
        assert hypotheses
        for each in hypotheses:
            limit = search.target_limit(len(source), 64)
            assert len(bound.target_prefix) + len(each.token_ids) <= limit
            check(each, bound)


def check(hypothesis: Hypothesis, options: SequenceOptions) -> None:
    spans = trace(hypothesis.token_ids, options)
    numbers = [span.number for span in spans]
    assert len(set(numbers)) == len(numbers)
    assert all(before.end <= after.begin for before, after in pairwise(spans))
    for span in spans:
        form = hypothesis.token_ids[max(span.begin, 0) : span.end]
        assert form in options.phrases[span.number].forms
    inside = {place for span in spans for place in range(span.begin, span.end)}
    if not options.target_prefix:
        if hypothesis.finish_reason is FinishReason.STOP:
            required = {n for n, phrase in enumerate(options.phrases) if phrase.required}
            assert required <= set(numbers)
        if options.guarded is not None:
            for place, token in enumerate(hypothesis.token_ids):
                assert place in inside or not options.guarded.table[token]
    for tokens in options.banned:
        for end in range(len(tokens), len(hypothesis.token_ids) + 1):
            if hypothesis.token_ids[end - len(tokens) : end] == tokens:
                assert end - 1 in inside


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
def test_the_compiled_engine_gives_the_same(search: GenerationConfig, seed: int) -> None:
    sources, options = sources_and_options(32, seed=10 + seed)
    model = ending_transformer()
    expected = generate(model, sources, search, options)
    found = translate(NativeModel(model, "float32"), sources, search, options)
    for ours, theirs in zip(found, expected, strict=True):
        assert [each.token_ids for each in ours] == [each.token_ids for each in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.score == pytest.approx(other.score, abs=1e-3)
            assert mine.finish_reason is other.finish_reason
            assert mine.attended == other.attended
            assert mine.missed == other.missed


def test_what_is_banned_does_not_slip_in_behind_the_beginning_of_a_phrase() -> None:
    sources, options = sources_and_options(12, seed=1007)
    source, bound = sources[3], options[3]
    assert any(len(tokens) == 1 for tokens in bound.banned)
    model = ending_transformer()
    [expected] = generate(model, [source], SEARCHES[1], [bound])
    [found] = translate(NativeModel(model, "float32"), [source], SEARCHES[1], [bound])
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]
    for each in expected:
        check(each, bound)
