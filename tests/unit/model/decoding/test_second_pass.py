"""What a second search is given of a target whose phrase has missed its place."""

from __future__ import annotations

from model.decoding.lexical_constraints import Missed
from model.decoding.phrases import Phrase
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.second_pass import second_pass
from model.decoding.sequence_options import SequenceOptions

OPTIONS = SequenceOptions(
    target_prefix=(9,), phrases=(Phrase(((5, 6),), range(3, 4)),), align_to=range(4)
)


def hypothesis(*token_ids: int, missed: Missed | None = None) -> Hypothesis:
    return Hypothesis(
        token_ids=token_ids,
        score=-1.0,
        log_prob=-1.0,
        finish_reason=FinishReason.STOP,
        attended=tuple(range(len(token_ids))),
        missed=missed,
    )


LATE = hypothesis(1, 2, 3, 5, 6, missed=Missed(3, 1))


def test_it_is_given_what_stands_before_the_place_and_the_phrase() -> None:
    again = second_pass((LATE,), OPTIONS, None)
    assert again is not None
    assert again.options.target_prefix == (9, 1, 5, 6)
    assert again.options.phrases == OPTIONS.phrases
    whole = again.whole(hypothesis(7, 8))
    assert whole.token_ids == (1, 5, 6, 7, 8)
    assert whole.attended == (0, 3, 3, 0, 1)


def test_what_it_misses_counts_from_the_first_token() -> None:
    again = second_pass((LATE,), OPTIONS, None)
    assert again is not None
    assert again.whole(hypothesis(7, 8, missed=Missed(1, 0))).missed == Missed(4, 3)


def test_not_without_need_not_for_several_and_not_for_ever() -> None:
    assert second_pass((hypothesis(1, 5, 6),), OPTIONS, None) is None
    assert second_pass((LATE, LATE), OPTIONS, None) is None
    passes, again = 1, None
    while (following := second_pass((LATE,), OPTIONS, again)) is not None:
        passes, again = passes + 1, following
    assert passes == 4
