"""Slots are handed out once and come back."""

import pytest

from model.engine.slots import SlotPool


def test_slots_are_handed_out_lowest_first_and_only_once() -> None:
    pool = SlotPool(4)
    assert pool.acquire(3) == [0, 1, 2]
    pool.release([1])
    assert pool.acquire(2) == [1, 3]
    assert (pool.num_free, pool.num_used) == (0, 4)


def test_more_than_there_are_is_refused_and_changes_nothing() -> None:
    pool = SlotPool(2)
    pool.acquire(1)
    with pytest.raises(ValueError, match="at most 1 slots are free, but 2"):
        pool.acquire(2)
    assert pool.num_free == 1


def test_a_slot_cannot_be_released_twice() -> None:
    pool = SlotPool(2)
    (slot,) = pool.acquire(1)
    pool.release([slot])
    with pytest.raises(ValueError, match="not in use"):
        pool.release([slot])
