"""What a sequence may be bound to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.config import GenerationConfig
from model.decoding.phrases import GuardedTokens, Phrase
from model.decoding.search import BeamSearch, Candidate, FinishReason
from model.decoding.sequence_options import NO_OPTIONS, SequenceOptions
from model.errors import InvalidRequestError

EOS = 2


def shortlist(*ids: int) -> SequenceOptions:
    return SequenceOptions(shortlist=np.array(ids, dtype=np.int32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SequenceOptions(target_prefix=(10,)), r"`target_prefix` must have ids in \[0, 10\)"),
        (SequenceOptions(target_prefix=(-1,)), r"`target_prefix` must have ids in \[0, 10\)"),
        (SequenceOptions(target_prefix=(EOS,)), "must be without the end token 2, but has it"),
        (SequenceOptions(target_prefix=(5,) * 4), "`max_new_tokens` must be at least 5"),
        (shortlist(), "`shortlist` must have the end token 2"),
        (shortlist(1, 3), "`shortlist` must have the end token 2"),
        (shortlist(2, 2), "`shortlist` must be ascending 32-bit integers"),
        (shortlist(3, 2), "`shortlist` must be ascending 32-bit integers"),
        (shortlist(2, 10), r"`shortlist` must have ids in \[0, 10\), but has 2 to 10"),
        (shortlist(-1, 2), r"`shortlist` must have ids in \[0, 10\), but has -1 to 2"),
        (SequenceOptions(align_to=range(4, 6)), r"`align_to` must be places in \[0, 5\), but is "),
        (SequenceOptions(align_to=range(-1, 2)), "`align_to` must be places"),
        (SequenceOptions(align_to=range(2, 2)), "`align_to` must be places"),
        (SequenceOptions(align_to=range(0, 5, 2)), "`align_to` must be places"),
        (SequenceOptions(shortlist=np.array([2])), "`shortlist` must be ascending 32-bit integers"),
        (SequenceOptions(phrases=(Phrase(()),)), "a phrase must have at least one form"),
        (SequenceOptions(phrases=(Phrase(((),)),)), "a phrase's form must be ids"),
        (SequenceOptions(phrases=(Phrase(((1, EOS),)),)), "without the end token 2"),
        (SequenceOptions(phrases=(Phrase(((10,),)),)), r"ids in \[0, 10\)"),
        (SequenceOptions(phrases=(Phrase(((1,),), range(4, 6)),)), "`places` must be places in"),
        (SequenceOptions(banned=((1, -1),)), "a banned sequence must be ids"),
        (SequenceOptions(guarded=GuardedTokens([1], 9)), "`guarded` must be made for 10 ids"),
        (SequenceOptions(guarded=GuardedTokens([EOS], 10)), "without the end token 2"),
    ],
)
def test_what_does_not_fit_is_refused(options: SequenceOptions, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        options.check(vocab_size=10, eos_id=EOS, max_new_tokens=4, source_len=5)


def test_what_fits_is_not() -> None:
    for options in (NO_OPTIONS, shortlist(2), SequenceOptions(target_prefix=(9, 1, 9))):
        options.check(vocab_size=10, eos_id=EOS, max_new_tokens=4, source_len=5)


def test_a_prefix_counts_but_is_not_part_of_the_target() -> None:
    generation = GenerationConfig(beam_size=1, length_penalty=1.0, length_normalization="mean")
    search = BeamSearch(
        generation, eos_id=EOS, max_new_tokens=3, options=SequenceOptions(target_prefix=(7,))
    )
    forced = search.forced()
    assert forced == [Candidate(0, 7, 0.0)]
    search.advance(forced)
    assert search.forced() is None
    assert search.history(0) == [7]
    search.advance([Candidate(0, 5, -1.0)])
    search.advance([Candidate(0, EOS, -3.0)])
    [hypothesis] = search.hypotheses()
    assert hypothesis.token_ids == (5,)
    assert hypothesis.score == pytest.approx(-1.0)


def test_an_end_that_is_forced_costs_nothing_and_cuts_off() -> None:
    generation = GenerationConfig(beam_size=2, num_hypotheses=2, forced_end=True, length_penalty=0)
    search = BeamSearch(generation, eos_id=EOS, max_new_tokens=2)
    search.advance([Candidate(0, token, -token / 10) for token in (5, 6, 7, 8)])
    forced = search.forced()
    assert forced == [Candidate(0, EOS, -0.5), Candidate(1, EOS, -0.6)]
    search.advance(forced)
    assert search.done
    assert [(h.token_ids, h.log_prob, h.finish_reason) for h in search.hypotheses()] == [
        ((5,), -0.5, FinishReason.LENGTH),
        ((6,), -0.6, FinishReason.LENGTH),
    ]


def test_targets_are_limited_by_a_factor() -> None:
    generation = GenerationConfig(max_length_factor=1.5)
    assert [generation.target_limit(length, 20) for length in (1, 3, 4, 100)] == [2, 5, 6, 20]
    assert GenerationConfig(max_length_factor=0.0).target_limit(5, 20) == 1
    assert GenerationConfig(max_length_factor=1.5, max_new_tokens=9).target_limit(100, 20) == 9


def test_the_tokens_of_phrases_may_be_predicted() -> None:
    options = replace(shortlist(2, 5), phrases=(Phrase(((7, 3), (5,))),))
    assert options.predictable is not None
    assert options.predictable.tolist() == [2, 3, 5, 7]
    assert options.predictable.dtype == np.int32
    assert SequenceOptions(phrases=options.phrases).predictable is None
