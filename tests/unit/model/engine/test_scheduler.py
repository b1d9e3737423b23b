"""The scheduler without a model: made-up candidates, and no torch in the process at all."""

import random
import subprocess
import sys

import pytest

from model.config import GenerationConfig
from model.decoding.search import BeamSearch, Candidate
from model.engine.scheduler import Scheduler, SlotMove, StepPlan
from model.engine.sequence import Sequence, SequenceStatus

EOS = 2


def make(length: int = 3, *, beam_size: int = 1, limit: int = 50, deadline=None) -> Sequence:
    search = BeamSearch(GenerationConfig(beam_size=beam_size), eos_id=EOS, max_new_tokens=limit)
    return Sequence(
        source_ids=(*range(4, 4 + length - 1), EOS),
        search=search,
        last_tokens=[1] * beam_size,
        arrived_at=0.0,
        deadline=deadline,
    )


def scheduler(max_slots: int = 4, budget: int = 1000) -> Scheduler:
    return Scheduler(max_slots=max_slots, encode_token_budget=budget)


def go_on(plan: StepPlan) -> dict[int, list[Candidate]]:
    """Candidates that end nothing: every hypothesis continues itself."""
    return {
        id(s): [Candidate(i % s.beam_size, 7 + i, -float(i)) for i in range(2 * s.beam_size)]
        for s in plan.running
    }


def end(plan: StepPlan) -> dict[int, list[Candidate]]:
    return {
        id(s): [Candidate(i % s.beam_size, EOS, -float(i)) for i in range(2 * s.beam_size)]
        for s in plan.running
    }


def test_imports_no_torch() -> None:
    code = "import sys, model.engine.scheduler; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_first_come_first_served_while_slots_last() -> None:
    s = scheduler(max_slots=2)
    first, second, third = make(), make(), make()
    for sequence in (first, second, third):
        s.add(sequence)
    assert s.schedule(0.0).newcomers == (first, second)
    assert list(s.waiting.values()) == [third]
    assert third.status is SequenceStatus.WAITING


def test_a_newcomer_joins_the_running_between_two_steps() -> None:
    s = scheduler()
    early, late = make(), make()
    s.add(early)
    plan = s.schedule(0.0)
    s.update(plan, go_on(plan), 1.0)
    s.add(late)
    plan = s.schedule(2.0)
    assert plan.newcomers == (late,)
    assert set(plan.running) == {early, late}
    assert (early.position, late.position) == (1, 0)


def test_who_finishes_frees_its_slots_for_the_next_step() -> None:
    s = scheduler(max_slots=1)
    first, second = make(), make()
    s.add(first)
    s.add(second)
    plan = s.schedule(0.0)
    assert s.update(plan, end(plan), 1.0) == [first]
    assert s.schedule(1.0).newcomers == (second,)


def test_a_wide_beam_waits_and_is_not_overtaken() -> None:
    s = scheduler(max_slots=4)
    running, wide, small = make(), make(beam_size=4), make()
    s.add(running)
    plan = s.schedule(0.0)
    s.add(wide)
    s.add(small)
    assert s.schedule(0.0).newcomers == ()
    s.update(plan, end(plan), 1.0)
    assert s.schedule(1.0).newcomers == (wide,)


def test_the_encode_budget_counts_padding() -> None:
    s = scheduler(max_slots=10, budget=20)
    sequences = [make(5), make(5), make(9), make(5)]
    for sequence in sequences:
        s.add(sequence)
    assert s.schedule(0.0).newcomers == tuple(sequences[:2])  # with the third: 3 * 9 > 20
    assert s.schedule(0.0).newcomers == tuple(sequences[2:])


def test_a_source_beyond_the_budget_goes_alone() -> None:
    s = scheduler(budget=10)
    huge, small = make(30), make(3)
    s.add(huge)
    s.add(small)
    assert s.schedule(0.0).newcomers == (huge,)
    assert s.schedule(0.0).newcomers == (small,)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_cancelled_sequence_frees_its_slots_at_once(steps: int) -> None:
    s = scheduler()
    sequence = make(beam_size=3)
    s.add(sequence)
    for _ in range(steps):
        plan = s.schedule(0.0)
        s.update(plan, go_on(plan), 0.0)
    assert s.remove(sequence)
    assert not s.remove(sequence)
    assert s.slots.num_free == 4
    assert not s.has_work
    s.check_idle()


def test_deadlines_end_the_waiting_and_the_running() -> None:
    s = scheduler(max_slots=1)
    running, waiting, later = make(deadline=5.0), make(deadline=6.0), make(deadline=9.0)
    for sequence in (running, waiting, later):
        s.add(sequence)
    s.schedule(0.0)
    assert s.expire(4.9) == []
    assert s.expire(6.0) == [running, waiting]
    assert s.schedule(6.0).newcomers == (later,)


def test_deadlines_of_the_finished_are_forgotten_under_constant_load() -> None:
    """One sequence that goes on and on keeps the scheduler from ever being idle."""
    s = scheduler()
    endless = make(limit=10_000, deadline=5.0)
    s.add(endless)
    for _ in range(1000):
        s.add(make(limit=1, deadline=1e9))
        plan = s.schedule(0.0)
        s.update(plan, go_on(plan), 0.0)
        assert len(s._deadlines) <= 5
    assert s.expire(5.0) == [endless]


def test_beams_that_trade_places_become_moves() -> None:
    s = scheduler()
    sequence = make(beam_size=2)
    s.add(sequence)
    plan = s.schedule(0.0)
    step = [Candidate(1, 7, -1.0), Candidate(0, 8, -2.0), Candidate(0, 9, -3.0)]
    s.update(plan, {id(sequence): step}, 1.0)
    a, b = sequence.slots
    assert s.schedule(1.0).moves == (SlotMove(b, a, 1), SlotMove(a, b, 1))
    assert sequence.last_tokens == [7, 8]
    assert s.schedule(1.0).moves == ()


def test_moves_of_a_sequence_that_left_do_not_reach_the_slots_next_owner() -> None:
    s = scheduler(max_slots=2)
    leaving, next_owner = make(beam_size=2), make(beam_size=2)
    s.add(leaving)
    plan = s.schedule(0.0)
    step = [Candidate(1, 7, -1.0), Candidate(0, 8, -2.0), Candidate(0, 9, -3.0)]
    s.update(plan, {id(leaving): step}, 1.0)
    s.remove(leaving)
    s.add(next_owner)
    plan = s.schedule(1.0)
    assert plan.newcomers == (next_owner,)
    assert plan.moves == ()


def test_beam_sizes_stand_side_by_side() -> None:
    s = scheduler(max_slots=16)
    for beam_size in (4, 1, 4, 2, 1):
        s.add(make(beam_size=beam_size))
    assert [x.beam_size for x in s.schedule(0.0).running] == [1, 1, 2, 4, 4]


def test_a_leak_is_noticed_when_idle() -> None:
    s = scheduler()
    s.slots.acquire(1)
    with pytest.raises(RuntimeError, match="1 slots are in use, but no sequence runs"):
        s.check_idle()


@pytest.mark.parametrize("seed", range(20))
def test_a_random_life_neither_leaks_nor_starves(seed: int) -> None:
    """Arrivals, ends, cancellations and deadlines at random: all end, no slot is lost."""
    generator = random.Random(seed)
    s = scheduler(max_slots=8, budget=40)
    sequences = [
        make(
            generator.randrange(2, 60),
            beam_size=generator.choice([1, 1, 2, 4, 8]),
            limit=generator.randrange(1, 12),
            deadline=generator.choice([None, generator.uniform(0, 60)]),
        )
        for _ in range(60)
    ]
    arriving = list(sequences)
    for now in range(3000):
        for _ in range(generator.randrange(3)):
            if arriving:
                s.add(arriving.pop())
        if generator.random() < 0.1:
            s.remove(generator.choice(sequences))
        s.expire(float(now))
        plan = s.schedule(float(now))
        owned = [slot for x in s.running.values() for slot in x.slots]
        assert len(owned) == len(set(owned)) == s.slots.num_used
        s.update(plan, (end if generator.random() < 0.05 else go_on)(plan), float(now))
        if not arriving and not s.has_work:
            break
    assert not s.has_work
    s.check_idle()
    assert s.slots.num_free == 8
