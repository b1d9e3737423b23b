"""What of a search can no longer change: it is what the best hypothesis begins with, in the end."""

from __future__ import annotations

import random

import pytest

from model.config import GenerationConfig, SearchRules
from model.decoding.search import BeamSearch, Candidate
from model.decoding.sequence_options import SequenceOptions

EOS = 2


def _candidates(search: BeamSearch, generator: random.Random) -> list[Candidate]:
    """The best continuations by some predictions, of few tokens, so that ends come at any time."""
    forced = search.forced()
    if forced is not None:
        return forced
    found = [
        Candidate(row, token, past - generator.expovariate(1.0))
        for row, past in enumerate(search.live_log_probs)
        for token in (EOS, 5, 6, 7)
    ]
    found.sort(key=lambda each: -each.log_prob)
    return found[: 1 if search.beam_size == 1 else 2 * search.beam_size]


@pytest.mark.parametrize("rules", list(SearchRules))
@pytest.mark.parametrize("beam_size", [1, 2, 4])
@pytest.mark.parametrize("prefix", [(), (9, 8)])
def test_what_is_decided_is_what_comes(
    rules: SearchRules, beam_size: int, prefix: tuple[int, ...]
) -> None:
    early = 0
    for seed in range(60):
        generator = random.Random(seed)
        wanted = generator.randint(1, beam_size)
        generation = GenerationConfig(
            beam_size=beam_size, num_hypotheses=wanted, search=rules,
            length_penalty=generator.choice([0.0, 0.6, 1.0]),
            forced_end=generator.random() < 0.3,
        )  # fmt: skip
        options = SequenceOptions(target_prefix=prefix)
        search = BeamSearch(generation, eos_id=EOS, max_new_tokens=12, options=options)
        told: tuple[int, ...] = ()
        while not search.done:
            search.advance(_candidates(search, generator))
            if not search.done:
                decided = search.decided()
                assert decided[: len(told)] == told
                told = decided
        best = search.hypotheses()[0]
        assert best.token_ids[: len(told)] == told
        early += len(told) > 0
    assert early > 3
