"""Rows are what the class itself would have made."""

from typing import NamedTuple

import pytest

from model.engine.named_rows import named_rows


class Pair(NamedTuple):
    left: int
    right: str = ""


def test_equals_what_the_class_makes_of_each_row() -> None:
    rows = named_rows(Pair, [1, 2], ("a", "b"))
    assert rows == [Pair(1, "a"), Pair(2, "b")]
    assert all(type(row) is Pair for row in rows)
    assert rows[1].right == "b"
    assert named_rows(Pair, [], []) == []


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="Pair has other fields than 1"):
        named_rows(Pair, [1])
    with pytest.raises(ValueError, match="shorter"):
        named_rows(Pair, [1, 2], ["a"])
