"""When a target has repeated a block too often, and how often its source repeats one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.decoding.repeats import LONGEST_BLOCK, banned_by_repeats, most_copies


@pytest.mark.parametrize(
    ("source", "copies"),
    [
        ([], 1),
        ([5, 2], 1),
        ([5, 6, 7, 5, 6, 8, 2], 1),
        ([5, 5, 2], 2),
        ([9, 5, 6, 5, 6, 5, 6, 5, 2], 3),
        ([5] * 40, 40),
        ([*range(20)] * 3, 3),
        ([*range(40)] * 3, 1),
    ],
)
def test_copies_in_a_source(source: list[int], copies: int) -> None:
    assert most_copies(source) == copies


@given(st.lists(st.integers(0, 3), max_size=80))
def test_copies_are_counted_block_by_block(source: list[int]) -> None:
    """The same by its definition."""

    def copies(begin: int, size: int) -> int:
        block, count = source[begin : begin + size], 1
        while source[begin + count * size : begin + (count + 1) * size] == block:
            count += 1
        return count

    sizes = range(1, LONGEST_BLOCK + 1)
    counts = (copies(begin, size) for size in sizes for begin in range(len(source) - size + 1))
    assert most_copies(source) == max(counts, default=1)


@pytest.mark.parametrize("copies", [1, 2, 5])
@pytest.mark.parametrize(("size", "more"), [(1, 3), (2, 2), (3, 1), (4, 1), (32, 1)])
def test_one_copy_too_many_does_not_begin(size: int, more: int, copies: int) -> None:
    block = list(range(10, 10 + size))
    allowed = [7, *block * (copies + more)]
    assert banned_by_repeats(allowed, copies) == {10}
    assert all(banned_by_repeats(allowed[:end], copies) == set() for end in range(len(allowed)))


def test_what_only_resembles_a_block_is_none() -> None:
    assert banned_by_repeats([5, 6, 7, 8, 5, 6, 7, 9, 5, 6, 7], 1) == set()
    assert banned_by_repeats([*range(33)] * 3, 1) == set()
