"""Beam search on a table of probabilities small enough to enumerate."""

import itertools
import math
import random

import pytest
import torch

from model.config import GenerationConfig
from model.decoding.candidates import best_candidates
from model.decoding.constraints import constrain
from model.decoding.repeats import banned_by_ngrams
from model.decoding.search import BeamSearch, Candidate, FinishReason, length_penalty

EOS = 2


def run(table, generation: GenerationConfig, limit: int) -> BeamSearch:
    """Searches a bigram model: `table[last]` are logits of the next token, 0 comes first."""
    search = BeamSearch(generation, eos_id=EOS, max_new_tokens=limit)
    last = [0] * generation.beam_size
    for _ in range(limit):
        logits = torch.stack([table[token] for token in last])
        survivors = search.advance(best_candidates(logits, [search], EOS)[0])
        if search.done:
            return search
        last = [survivor.token_id for survivor in survivors]
    raise AssertionError("the search went on beyond its limit")


def every_target(table, limit: int, alpha: float) -> list[tuple[float, tuple[int, ...]]]:
    """(score, tokens) of every target that ends within `limit`, best first."""
    log_probs = torch.log_softmax(table, dim=-1)
    tokens = [t for t in range(table.size(0)) if t != EOS]
    scored = []
    for length in range(limit):
        for target in itertools.product(tokens, repeat=length):
            path = [0, *target, EOS]
            total = sum(float(log_probs[a, b]) for a, b in itertools.pairwise(path))
            scored.append(
                (total / length_penalty(length + 1, GenerationConfig(length_penalty=alpha)), target)
            )
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_beam_as_wide_as_the_space_finds_the_best(seed: int, alpha: float) -> None:
    torch.manual_seed(seed)
    table = torch.randn(4, 4).double() * 2
    generation = GenerationConfig(beam_size=64, length_penalty=alpha, num_hypotheses=3)
    found = run(table, generation, limit=4).hypotheses()
    expected = every_target(table, 4, alpha)[:3]
    for hypothesis, (score, tokens) in zip(found, expected, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-5)
        assert hypothesis.token_ids == tokens


@pytest.mark.parametrize("seed", range(20))
def test_greedy_takes_the_best_token_each_time(seed: int) -> None:
    torch.manual_seed(seed)
    table = torch.randn(6, 6) * 2
    hypothesis = run(table, GenerationConfig(beam_size=1), limit=12).hypotheses()[0]
    expected, last, total = [], 0, 0.0
    while len(expected) < 12:
        log_probs = torch.log_softmax(table[last], -1)
        last = int(log_probs.argmax())
        total += float(log_probs[last])
        if last == EOS:
            break
        expected.append(last)
    assert list(hypothesis.token_ids) == expected
    assert hypothesis.log_prob == pytest.approx(total, abs=1e-4)
    assert hypothesis.finish_reason is (FinishReason.STOP if last == EOS else FinishReason.LENGTH)


def test_a_wider_beam_is_never_lost_in_ranking() -> None:
    torch.manual_seed(3)
    table = torch.randn(8, 8)
    hypotheses = run(table, GenerationConfig(beam_size=5, num_hypotheses=5), 6).hypotheses()
    scores = [h.score for h in hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert len({h.token_ids for h in hypotheses}) == 5


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_guarded_neighbour_changes_nothing_not_even_in_rounding(beam_size: int) -> None:
    """Two tokens whose logits differ by the smallest step have one log-probability."""
    free = GenerationConfig(beam_size=beam_size)
    guarded = GenerationConfig(beam_size=beam_size, no_repeat_ngram_size=2)
    torch.manual_seed(0)
    logits = torch.rand(2 * beam_size, 8000) * 0.1
    logits[:, 7] = 0.3
    logits[:, 9] = torch.nextafter(torch.tensor(0.3), torch.tensor(1.0))
    searches = [
        BeamSearch(generation, eos_id=EOS, max_new_tokens=9) for generation in (free, guarded)
    ]
    alone = [
        best_candidates(rows, [search], EOS)[0]
        for rows, search in zip(logits.split(beam_size), searches, strict=True)
    ]
    assert best_candidates(logits, searches, EOS) == alone


def test_the_length_penalty_is_wu_et_als() -> None:
    assert length_penalty(1, GenerationConfig()) == 1.0
    assert length_penalty(7, GenerationConfig()) == pytest.approx(2**0.6)
    assert length_penalty(7, GenerationConfig(length_penalty=0.0)) == 1.0


def test_the_limit_ends_a_search_with_what_it_has() -> None:
    search = BeamSearch(GenerationConfig(beam_size=2), eos_id=EOS, max_new_tokens=1)
    survivors = search.advance(
        [Candidate(0, 5, -0.1), Candidate(0, 6, -0.2), Candidate(0, 7, -0.3), Candidate(0, 8, -9)]
    )
    assert survivors == []
    assert search.done
    (best,) = search.hypotheses()
    assert best.token_ids == (5,)
    assert best.finish_reason is FinishReason.LENGTH


def test_an_end_token_below_the_beam_does_not_finish_a_hypothesis() -> None:
    search = BeamSearch(GenerationConfig(beam_size=2), eos_id=EOS, max_new_tokens=9)
    survivors = search.advance(
        [Candidate(0, 5, -0.1), Candidate(0, 6, -0.2), Candidate(0, EOS, -0.3), Candidate(0, 7, -1)]
    )
    assert [s.token_id for s in survivors] == [5, 6]
    assert not search.done
    assert search.hypotheses() == ()


def test_the_length_penalty_can_prefer_the_longer() -> None:
    """Two halves of 0.5 each beat an end at 0.3; without a penalty the sums decide."""
    table = torch.full((4, 4), -30.0)
    table[0, 1], table[0, EOS] = math.log(0.6), math.log(0.4)
    table[1, 3], table[3, EOS] = 0.0, math.log(0.5)
    table[3, 3] = math.log(0.5)
    short = run(table, GenerationConfig(beam_size=2, length_penalty=0.0), 8).hypotheses()[0]
    long = run(table, GenerationConfig(beam_size=2, length_penalty=2.0), 8).hypotheses()[0]
    assert short.token_ids == ()
    assert len(long.token_ids) > 1


@pytest.mark.parametrize("seed", range(10))
def test_no_ngram_comes_twice_when_the_guard_is_on(seed: int) -> None:
    torch.manual_seed(seed)
    table = torch.randn(5, 5) * 3
    table[:, EOS] = -20.0
    generation = GenerationConfig(beam_size=3, no_repeat_ngram_size=2)
    for hypothesis in run(table, generation, limit=14).hypotheses():
        pairs = list(itertools.pairwise(hypothesis.token_ids))
        assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_banned_tokens_are_those_that_complete_an_ngram(size: int) -> None:
    generator = random.Random(size)
    for _ in range(200):
        history = generator.choices(range(4), k=generator.randrange(10))
        seen = {tuple(history[i : i + size]) for i in range(len(history) - size + 1)}
        expected = {
            token
            for token in range(4)
            if tuple([*history, token][-size:]) in seen and len(history) >= size - 1
        }
        assert banned_by_ngrams(history, size) == expected


def test_the_repetition_penalty_lowers_what_was_said() -> None:
    log_probs = torch.tensor([-1.0, -2.0, -3.0])
    constrain(log_probs, [1, 1], GenerationConfig(repetition_penalty=1.5), EOS)
    assert log_probs.tolist() == [-1.0, -3.0, -3.0]


def test_the_end_token_is_never_banned() -> None:
    log_probs = torch.zeros(4)
    constrain(log_probs, [EOS, 1], GenerationConfig(no_repeat_ngram_size=1), EOS)
    assert log_probs.tolist() == [0.0, float("-inf"), 0.0, 0.0]
