"""The groups of a step, and the buckets they fill up."""

from __future__ import annotations

import random

import numpy as np
import pytest
from torch import Tensor

from model.engine.cuda.decode_group import DecodeGroup, Slots, buckets_for_sequences
from tests.unit.model.engine.deferred_stream import DeferredStream

SPARE = 99


class Steps:
    """Records which groups each step decodes, and writes their leads as flags."""

    def __init__(self) -> None:
        self.seen: list[list[list[int]]] = []

    def __call__(self, rows: Tensor, flags: Tensor) -> None:
        self.seen.append(rows.tolist())
        flags.copy_(rows[:, 0])


@pytest.mark.parametrize(
    ("capacity", "buckets"),
    [(1, [1]), (2, [1, 2]), (5, [1, 2, 3, 4, 5]), (16, [1, 2, 3, 4, 6, 8, 12, 16])],
)
def test_buckets_never_waste_more_than_a_third(capacity: int, buckets: list[int]) -> None:
    assert buckets_for_sequences(capacity) == buckets


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_step_has_all_members_and_nobody_else(num_beams: int) -> None:
    stream, steps = DeferredStream(), Steps()
    group = DecodeGroup(stream, steps, num_beams=num_beams, capacity=10, spare=SPARE)
    generator = random.Random(0)
    present: dict[int, list[int]] = {}
    for turn in range(200):
        count = generator.randint(1, 4)
        if len(present) + count > 10 or (len(present) >= count and generator.random() < 0.5):
            count = min(count, len(present))
            leaving = generator.sample(sorted(present), count)
            slots = group.remove(np.array(leaving, dtype=np.int32))
            assert slots.tolist() == [present.pop(lead) for lead in leaving]
        else:
            free = [n for n in range(0, SPARE - num_beams, num_beams) if n not in present]
            coming = {n: [*range(n, n + num_beams)] for n in generator.sample(free, count)}
            group.add(np.array([*coming.values()], dtype=np.int32))
            present |= coming
        assert len(group) == len(present)
        if not present or turn % 3 == 0:
            continue
        leads, flags = group.queue_step()
        stream.mark().wait()
        groups = steps.seen[-1]
        assert len(groups) == next(bucket for bucket in group.buckets if bucket >= len(present))
        assert groups[: len(leads)] == [present[lead] for lead in leads.tolist()]
        assert groups[len(leads) :] == [[SPARE] * num_beams] * (len(groups) - len(leads))
        assert sorted(leads.tolist()) == sorted(present)
        assert flags[: len(leads)].tolist() == leads.tolist()


def slots_of(*leads: int, num_beams: int = 1) -> Slots:
    return np.array(leads, dtype=np.int32)[:, None] + np.arange(num_beams, dtype=np.int32)


def test_who_took_part_is_remembered_as_it_was() -> None:
    """A step in flight belongs to those who were there, not to those who are there now."""
    stream, steps = DeferredStream(), Steps()
    group = DecodeGroup(stream, steps, num_beams=1, capacity=4, spare=SPARE)
    group.add(slots_of(0, 1))
    leads, flags = group.queue_step()
    group.remove(np.array([0], dtype=np.int32))
    later, later_flags = group.queue_step()
    stream.mark().wait()
    assert (leads.tolist(), flags.tolist()) == ([0, 1], [0, 1])
    assert (later.tolist(), later_flags.tolist()) == ([1], [1])


def test_capturing_decodes_nobody() -> None:
    stream, steps = DeferredStream(), Steps()
    group = DecodeGroup(stream, steps, num_beams=2, capacity=4, spare=SPARE)
    group.add(np.array([[4, 6]], dtype=np.int32))
    group.queue_step()
    stream.mark().wait()
    assert steps.seen == [[[SPARE, SPARE]], [[4, 6]]]
