"""Translations that differ in words, and the best combinations of those of several sentences."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.alternatives import best_sums, different


def test_alternatives_differ_in_words() -> None:
    texts = ["Das ist gut.", "Das ist gut!", "das ist  gut", "Dies ist gut.", "Das ist gut.", "..."]
    assert different(texts) == [0, 3, 5]
    assert different(["!", "?", "!"]) == [0, 1]
    assert different(["12.5", "12,5"]) == [0]


@given(
    st.lists(st.lists(st.integers(-20, 0), min_size=1, max_size=4), min_size=1, max_size=5),
    st.integers(1, 9),
)
def test_the_best_sums_are_those_of_all_choices(rows: list[list[int]], most: int) -> None:
    rows = [sorted(row, reverse=True) for row in rows]
    *steps, choices = best_sums(rows, most)
    assert steps == [None] * len(rows)
    assert choices is not None

    def total(choice: list[int]) -> int:
        return sum(row[number] for row, number in zip(rows, choice, strict=True))

    every = sorted(
        (total(list(choice)) for choice in product(*(range(len(row)) for row in rows))),
        reverse=True,
    )
    assert [total(choice) for choice in choices] == every[:most]
    assert len(set(map(tuple, choices))) == len(choices)


@pytest.mark.parametrize("most", [1, 8])
def test_many_rows_cost_as_many_steps(most: int) -> None:
    rows = [[0.0, -1.0, -2.0]] * 5000
    *steps, choices = best_sums(rows, most)
    assert len(steps) == 5000
    assert choices is not None
    assert [sum(choice) for choice in choices] == [0, *[1] * 7][:most]
