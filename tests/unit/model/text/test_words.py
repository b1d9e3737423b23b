"""What a word is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.words import overlapping, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay 1,000.50 euros, now!", ["Don't", "pay", "1,000.50", "euros", ",", "now", "!"]),
        ("l\u2019e\u0301te\u0301 a_b", ["l\u2019e\u0301te\u0301", "a_b"]),
        ("well-known (yes)", ["well", "-", "known", "(", "yes", ")"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("👨\u200d👩\u200d👧 👍🏽!", ["👨\u200d👩\u200d👧", "👍🏽", "!"]),
        ("ab\u200d c\u200d\u3000. \u200d d", ["ab\u200d", "c\u200d", ".", "\u200d", "d"]),
        ("an o\xadpen می\u200cخواهم.", ["an", "o\xadpen", "می\u200cخواهم", "."]),
        (" \n ", []),
    ],
)
def test_words_are_letters_digits_and_what_joins_them(text: str, expected: list[str]) -> None:
    assert [text[begin:end] for begin, end in words(text)] == expected


def test_where_no_spaces_are_written_pieces_end_words() -> None:
    text = "東京タワー is 高い"
    found = words(text, boundaries={2, 5, 7, 11})
    assert [text[begin:end] for begin, end in found] == ["東京", "タワー", "is", "高い"]


def test_what_is_whole_is_one_word() -> None:
    text = "see <b >x</b > now"
    found = words(text, whole=[(4, 8), (9, 14)])
    assert [text[begin:end] for begin, end in found] == ["see", "<b >", "x", "</b >", "now"]


@given(st.text(st.characters(codec="utf-8")), st.sets(st.integers(0, 20)))
def test_words_are_all_that_is_not_white(text: str, boundaries: set[int]) -> None:
    found = words(text, boundaries=boundaries)
    end = 0
    for begin, behind in found:
        assert end <= begin < behind <= len(text)
        assert text[end:begin].strip() == ""
        assert text[begin:behind].strip() == text[begin:behind]
        end = behind
    assert text[end:].strip() == ""


def test_what_overlaps() -> None:
    spans = [(0, 3), (4, 5), (6, 9)]
    assert list(overlapping(spans, 3, 7)) == [1, 2]
    assert list(overlapping(spans, 2, 3)) == [0]
    assert list(overlapping(spans, 5, 6)) == []
    assert list(overlapping(spans, 7, 7)) in ([], [2])
