"""The groups of a step, and the buckets they fill up."""

from __future__ import annotations

import random

import pytest
from torch import Tensor

from model.engine.cuda.decode_group import DecodeGroup, buckets_for_sequences
from tests.unit.model.engine.deferred_stream import DeferredStream
from tests.unit.model.engine.fake_runner import make

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
    present = {}
    for turn in range(200):
        if present and (len(present) == 10 or generator.random() < 0.5):
            group.remove(present.pop(generator.choice(list(present))))
        else:
            first = next(n for n in range(0, 100, num_beams) if n not in present)
            sequence = make(beam_size=num_beams)
            sequence.slots = [*range(first, first + num_beams)]
            group.add(sequence)
            present[first] = sequence
        assert len(group) == len(present)
        if not present or turn % 3 == 0:
            continue
        members, flags = group.queue_step()
        stream.mark().wait()
        groups = steps.seen[-1]
        assert len(groups) == next(bucket for bucket in group.buckets if bucket >= len(present))
        assert groups[: len(members)] == [member.slots for member in members]
        assert groups[len(members) :] == [[SPARE] * num_beams] * (len(groups) - len(members))
        assert set(members) == set(present.values())
        assert flags[: len(members)].tolist() == [member.slots[0] for member in members]


def test_who_took_part_is_remembered_as_it_was() -> None:
    """A step in flight belongs to those who were there, not to those who are there now."""
    stream, steps = DeferredStream(), Steps()
    group = DecodeGroup(stream, steps, num_beams=1, capacity=4, spare=SPARE)
    first, second = make(), make()
    first.slots, second.slots = [0], [1]
    group.add(first)
    group.add(second)
    members, flags = group.queue_step()
    group.remove(first)
    later, later_flags = group.queue_step()
    stream.mark().wait()
    assert (members, flags.tolist()) == ((first, second), [0, 1])
    assert (later, later_flags.tolist()) == ((second,), [1])


def test_capturing_decodes_nobody() -> None:
    stream, steps = DeferredStream(), Steps()
    group = DecodeGroup(stream, steps, num_beams=2, capacity=4, spare=SPARE)
    member = make(beam_size=2)
    member.slots = [4, 6]
    group.add(member)
    group.queue_step()
    stream.mark().wait()
    assert steps.seen == [[[SPARE, SPARE]], [[4, 6]]]
