"""What a second search is given of a target whose phrase has missed its place."""

from __future__ import annotations

from model.decoding.lexical_constraints import Missed
from model.decoding.phrases import Phrase
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.second_pass import second_pass
from model.decoding.sequence_options import SequenceOptions
from model.decoding.token_ids import packed_ids

OPTIONS = SequenceOptions(
    target_prefix=(9,), phrases=(Phrase(((5, 6),), range(3, 4)),), align_to=range(4)
)


def hypothesis(*token_ids: int, missed: Missed | None = None, score: float = -1.0) -> Hypothesis:
    return Hypothesis(
        target=packed_ids(token_ids),
        score=score,
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
    [whole] = again.whole((hypothesis(7, 8),))
    assert whole.token_ids == (1, 5, 6, 7, 8)
    assert whole.attended == (0, 3, 3, 0, 1)
    assert whole.score == LATE.score


def test_what_it_misses_counts_from_the_first_token() -> None:
    again = second_pass((LATE,), OPTIONS, None)
    assert again is not None
    [whole] = again.whole((hypothesis(7, 8, missed=Missed(1, 0)),))
    assert whole.missed == Missed(4, 3)


def test_of_several_those_that_begin_alike_are_searched_for_together() -> None:
    good = hypothesis(1, 5, 6, 8, score=-0.5)
    alike = hypothesis(1, 4, 5, 6, missed=Missed(2, 1), score=-1.5)
    other = hypothesis(2, 3, 5, 6, missed=Missed(2, 1), score=-2.0)
    found = (good, LATE, alike, other)
    again = second_pass(found, OPTIONS, None)
    assert again is not None
    assert again.options.target_prefix == (9, 1, 5, 6)
    new = (hypothesis(8), hypothesis(7), hypothesis(3), hypothesis(4))
    whole = again.whole(new)  # the first of which there is already
    assert [each.token_ids for each in whole] == [
        (1, 5, 6, 8), (1, 5, 6, 7), (1, 5, 6, 3), (2, 3, 5, 6),
    ]  # fmt: skip
    assert [each.score for each in whole] == [-0.5, -1.0, -1.5, -2.0]
    last = second_pass(whole, OPTIONS, again)
    assert last is not None
    assert (last.late, last.options.target_prefix) == ((3,), (9, 2, 5, 6))
    # Of fewer than were late, the others are left out.
    assert [each.token_ids for each in again.whole(new[:2])] == [
        (1, 5, 6, 8), (1, 5, 6, 7), (2, 3, 5, 6),
    ]  # fmt: skip


def test_not_without_need_and_not_for_ever() -> None:
    assert second_pass((hypothesis(1, 5, 6),), OPTIONS, None) is None
    passes, again = 1, None
    while (following := second_pass((LATE,), OPTIONS, again)) is not None:
        passes, again = passes + 1, following
    assert passes == 4
