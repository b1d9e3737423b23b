"""Where a target has its phrases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.decoding.phrases import GuardedTokens, Phrase, PhraseMatcher, PhraseState, trace
from model.decoding.sequence_options import SequenceOptions

TWENTY = Phrase(((5, 3, 1), (3, 1)))
TWENTY_FOUR = Phrase(((3, 1, 3, 7),))


def found(phrases: list[Phrase], target: str, **options: object) -> list[tuple[int, int, int]]:
    bound = SequenceOptions(phrases=tuple(phrases), **options)  # type: ignore[arg-type]
    return [tuple(span) for span in trace([int(each) for each in target.split()], bound)]


def test_each_phrase_is_found_once_in_one_of_its_forms() -> None:
    assert found([TWENTY], "8 5 3 1 8 3 1") == [(1, 4, 0)]
    assert found([TWENTY], "8 3 1 8 5 3 1") == [(1, 3, 0)]
    assert found([TWENTY, TWENTY], "3 1 8 5 3 1") == [(0, 2, 0), (3, 6, 1)]
    assert found([TWENTY], "8 9") == []


def test_the_longest_of_the_forms_that_are_left_is_taken() -> None:
    both = [TWENTY, TWENTY_FOUR]
    assert found(both, "3 1 3 7 8 3 1") == [(0, 4, 1), (5, 7, 0)]
    assert found(both, "3 1 8 3 1 3 7") == [(0, 2, 0), (3, 7, 1)]
    assert found(both, "3 1 3 8") == [(0, 2, 0)]
    assert found(both, "3 1") == [(0, 2, 0)]


def test_what_looked_like_one_form_may_be_the_beginning_of_another() -> None:
    assert found([Phrase(((1, 1, 2),))], "1 1 1 2") == [(1, 4, 0)]
    assert found([Phrase(((1, 2, 3, 4),)), Phrase(((2, 3),))], "1 2 3 5") == [(1, 3, 1)]


def test_what_the_prefix_has_is_written_and_not_told() -> None:
    assert found([TWENTY], "8 3 1", target_prefix=(3, 1)) == []
    assert found([TWENTY, TWENTY], "1 3 1", target_prefix=(3,)) == [(1, 3, 1)]


def test_guarded_tokens_are_a_table() -> None:
    assert GuardedTokens([3, 5], 8, joined=[5]).table.tolist() == [0, 0, 0, 1, 0, 3, 0, 0]


FORM = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(
    st.lists(st.lists(FORM, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3),
    st.lists(st.integers(1, 7), max_size=12),
)
def test_tokens_that_begin_no_phrase_change_nothing(
    forms: list[tuple[tuple[int, ...], ...]], tokens: list[int]
) -> None:
    fast, plain = (PhraseMatcher([Phrase(each) for each in forms]) for _ in range(2))
    plain._first = frozenset(range(8))
    one = other = PhraseState()
    for token in tokens:
        one, other = fast.advance(one, token), plain.advance(other, token)
        assert one == other
