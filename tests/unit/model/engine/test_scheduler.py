"""Schedulers without threads and without a model: no torch in their process at all."""

import random
import subprocess
import sys

import pytest

from model.config import Priority
from model.engine.scheduler import MAX_STEPS, Scheduler, StepPlan, fair_share, steps_as_light
from model.engine.sequence import Sequence, SequenceStatus
from model.engine.waiting import WaitingQueue
from tests.unit.model.engine.fake_runner import make


class Desk:
    """A queue and the schedulers of some workers, as the engine has them."""

    def __init__(
        self,
        max_slots: int = 4,
        *,
        workers: int = 1,
        budget: int | None = 1000,
        can_pause: bool = True,
    ) -> None:
        self.waiting = WaitingQueue(10_000)
        self.schedulers = [
            Scheduler(max_slots=max_slots, encode_token_budget=budget, can_pause=can_pause)
            for _ in range(workers)
        ]

    def add(self, *sequences: Sequence) -> None:
        self.waiting.add(sequences)

    def plan(self, worker: int = 0, now: float = 0.0) -> StepPlan | None:
        share = fair_share(self.schedulers, self.waiting)
        return self.schedulers[worker].schedule(self.waiting, share, now)

    def newcomers(self, worker: int = 0) -> list[Sequence]:
        plan = self.plan(worker)
        return list(plan.newcomers) if plan else []


def test_imports_no_torch() -> None:
    code = "import sys, model.engine.scheduler; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_to_do_is_no_plan() -> None:
    assert Desk().plan() is None


def test_who_is_next_is_admitted_while_slots_last() -> None:
    desk = Desk(max_slots=2)
    first, second, third = make(), make(), make()
    desk.add(first, second, third)
    plan = desk.plan(now=7.0)
    assert plan is not None
    assert plan.newcomers == (first, second)
    assert (first.slots, second.slots) == ([0], [1])
    assert first.scheduled_at == 7.0
    assert first.status is SequenceStatus.RUNNING
    assert third.status is SequenceStatus.WAITING
    assert len(desk.waiting) == 1


def test_a_newcomer_joins_the_running() -> None:
    desk = Desk()
    early, late = make(), make()
    desk.add(early)
    assert desk.newcomers() == [early]
    desk.add(late)
    assert desk.newcomers() == [late]
    assert desk.schedulers[0].running.keys() == {early, late}


def test_who_finishes_frees_its_slots_for_the_next_plan() -> None:
    desk = Desk(max_slots=1)
    first, second = make(), make()
    desk.add(first, second)
    desk.plan()
    assert desk.schedulers[0].finish(first)
    assert not desk.schedulers[0].finish(first)
    assert first.status is SequenceStatus.FINISHED
    assert desk.newcomers() == [second]


def test_who_is_removed_is_named_once_and_before_who_takes_its_slots() -> None:
    desk = Desk(max_slots=2)
    leaving, staying, next_owner = make(), make(), make()
    desk.add(leaving, staying, next_owner)
    desk.plan()
    assert desk.schedulers[0].remove(leaving)
    assert not desk.schedulers[0].remove(leaving)
    plan = desk.plan()
    assert plan is not None
    assert (plan.removed, plan.newcomers) == ((leaving,), (next_owner,))
    assert next_owner.slots == leaving.slots
    plan = desk.plan()
    assert plan is not None
    assert plan.removed == ()


def test_who_was_done_when_it_was_removed_is_not_named() -> None:
    desk = Desk()
    leaving, staying = make(), make()
    desk.add(leaving, staying)
    desk.plan()
    desk.schedulers[0].remove(leaving)
    assert not desk.schedulers[0].finish(leaving)
    plan = desk.plan()
    assert plan is not None
    assert plan.removed == ()


def test_the_last_one_that_is_removed_is_named_too() -> None:
    desk = Desk()
    only = make()
    desk.add(only)
    desk.plan()
    desk.schedulers[0].remove(only)
    plan = desk.plan()
    assert plan is not None
    assert (plan.removed, plan.newcomers) == ((only,), ())
    assert desk.plan() is None
    desk.schedulers[0].check_idle()


def test_a_wide_beam_waits_and_is_not_overtaken() -> None:
    desk = Desk(max_slots=4)
    running, wide, narrow = make(), make(beam_size=4), make()
    for sequence in (running, wide, narrow):
        desk.add(sequence)
        plan = desk.plan()
        assert plan is not None
        assert plan.max_steps == MAX_STEPS
    assert desk.schedulers[0].running.keys() == {running}
    desk.schedulers[0].finish(running)
    assert desk.newcomers() == [wide]


def test_a_wide_beam_may_run_on_a_worker_that_has_room() -> None:
    desk = Desk(max_slots=4, workers=2)
    desk.add(make(), make(), make(), make(), make())
    assert len(desk.newcomers(0)) == 3
    assert len(desk.newcomers(1)) == 2
    wide = make(beam_size=2)
    desk.add(wide)
    assert desk.newcomers(0) == []
    assert desk.newcomers(1) == [wide]


def test_the_encode_budget_counts_tokens() -> None:
    desk = Desk(max_slots=10, budget=20)
    sequences = [make(5), make(5), make(9), make(5), make(1)]
    desk.add(*sequences)
    assert desk.newcomers() == sequences[:3]
    assert desk.newcomers() == sequences[3:]


@pytest.mark.parametrize(("max_slots", "tokens"), [(8, 2048), (512, 2048), (1024, 4096)])
def test_without_a_budget_an_eighth_of_many_slots_has_newcomers_at_once(
    max_slots: int, tokens: int
) -> None:
    desk = Desk(max_slots=max_slots, budget=None)
    desk.add(*(make(tokens // 4 + 1) for _ in range(8)))
    assert len(desk.newcomers()) == 3
    desk = Desk(max_slots=max_slots, budget=None)
    desk.add(*(make(tokens // 4) for _ in range(8)))
    assert len(desk.newcomers()) == 4


def test_a_source_beyond_the_budget_goes_alone_and_keeps_its_turn() -> None:
    desk = Desk(max_slots=10, budget=10)
    tiny, huge, later = make(3), make(30), make(3)
    desk.add(tiny, huge, later)
    assert [desk.newcomers() for _ in range(3)] == [[tiny], [huge], [later]]


@pytest.mark.parametrize(("beam_size", "batch"), [(1, 8), (4, 2)])
def test_a_busy_worker_admits_an_eighth_of_its_slots_at_a_time(beam_size: int, batch: int) -> None:
    desk = Desk(max_slots=64)
    desk.add(*(make(beam_size=beam_size) for _ in range(100)))
    running = desk.newcomers()
    assert len(running) == 64 // beam_size
    for sequence in running[: batch - 1]:
        desk.schedulers[0].finish(sequence)
        assert desk.newcomers() == []
    desk.schedulers[0].finish(running[batch - 1])
    assert len(desk.newcomers()) == batch


def test_a_busy_worker_admits_at_once_when_all_who_wait_fit() -> None:
    desk = Desk(max_slots=64)
    running = [make() for _ in range(64)]
    desk.add(*running)
    desk.plan()
    desk.add(late := make())
    assert desk.newcomers() == []
    desk.schedulers[0].finish(running[0])
    assert desk.newcomers() == [late]


def test_idle_workers_share_what_arrives_together() -> None:
    desk = Desk(max_slots=64, workers=2)
    desk.add(*(make(beam_size=3) for _ in range(8)))
    assert len(desk.newcomers(0)) == 4
    assert len(desk.newcomers(1)) == 4


def test_of_an_odd_number_somebody_takes_the_last() -> None:
    desk = Desk(max_slots=64, workers=2)
    desk.add(only := make(beam_size=5))
    assert desk.newcomers(1) == [only]
    desk.add(*(make(beam_size=5) for _ in range(2)))
    assert len(desk.newcomers(1)) == 1
    assert len(desk.newcomers(0)) == 1


def test_who_has_fewer_takes_more() -> None:
    desk = Desk(max_slots=64, workers=2)
    desk.add(*(make() for _ in range(20)))
    first = desk.newcomers(0)
    second = desk.newcomers(1)
    for sequence in first[2:]:
        desk.schedulers[0].finish(sequence)
    assert len(second) == 10
    desk.add(*(make() for _ in range(4)))
    assert desk.newcomers(1) == []
    assert len(desk.newcomers(0)) == 4


def test_steps_are_few_only_while_somebody_could_join() -> None:
    desk = Desk(max_slots=2, budget=5)
    first, second, third = (make(5) for _ in range(3))
    desk.add(first, second, third)
    plans = [desk.plan() for _ in range(3)]
    assert [plan and plan.newcomers for plan in plans] == [(first,), (second,), ()]
    assert [plan and plan.max_steps for plan in plans] == [1, MAX_STEPS, MAX_STEPS]


# --- Light and heavy


def heavy(count: int, beam_size: int = 1) -> list[Sequence]:
    return [make(beam_size=beam_size, light_steps=0) for _ in range(count)]


def admit_all(desk: Desk) -> None:
    while desk.newcomers():
        pass


def test_what_a_request_costs_makes_it_light_or_heavy() -> None:
    def steps(num_sources: int, source_tokens: int, beam_size: int) -> int:
        return steps_as_light(
            num_sources=num_sources, source_tokens=source_tokens, beam_size=beam_size, max_slots=128
        )

    assert steps(1, 128, 4) == 256
    assert steps(1, 129, 4) == 0
    assert steps(1, 60, 8) == 128
    assert steps(20, 512, 1) == 51
    assert steps(128, 256, 8) == 0
    assert steps(0, 0, 4) > 0


@pytest.mark.parametrize(("beam_size", "count"), [(1, 48), (5, 10), (8, 6), (33, 1)])
def test_heavy_ones_leave_a_quarter_of_the_slots(beam_size: int, count: int) -> None:
    desk = Desk(max_slots=64)
    desk.add(*heavy(100, beam_size))
    admit_all(desk)
    [scheduler] = desk.schedulers
    assert len(scheduler.running) == count
    assert (scheduler.light_rows, scheduler.heavy_rows) == (0, count * beam_size)


def test_the_smallest_worker_runs_heavy_ones_too() -> None:
    desk = Desk(max_slots=1)
    desk.add(*heavy(2))
    assert len(desk.newcomers()) == 1


def test_heavy_ones_come_by_few_tokens_at_a_time() -> None:
    desk = Desk(max_slots=16)
    desk.add(*heavy(12))
    assert [len(desk.newcomers()) for _ in range(4)] == [5, 5, 2, 0]


def test_heavy_ones_pause_while_light_ones_run() -> None:
    desk = Desk(max_slots=64)
    slow = heavy(100)
    desk.add(*slow)
    admit_all(desk)
    light = make()
    desk.add(light)
    plan = desk.plan()
    assert plan is not None
    assert (plan.newcomers, plan.active, plan.max_steps) == ((light,), (light,), MAX_STEPS)
    for sequence in slow[:48]:
        desk.schedulers[0].finish(sequence)
    plan = desk.plan()
    assert plan is not None
    assert (plan.newcomers, plan.active) == ((), None)  # no heavy one comes, none is left to pause
    desk.schedulers[0].finish(light)
    assert len(desk.newcomers()) > 0


def test_who_has_been_light_for_long_is_heavy() -> None:
    desk = Desk(max_slots=64)
    long, short = make(beam_size=4, light_steps=20), make()
    desk.add(long)
    desk.add(short)
    [scheduler] = desk.schedulers
    plan = desk.plan()
    assert plan is not None
    assert plan.active is None
    scheduler.executed(20 + MAX_STEPS, 0.1)
    plan = desk.plan()
    assert plan is not None
    assert plan.active == (short,)
    assert (scheduler.light_rows, scheduler.heavy_rows) == (1, 4)
    scheduler.finish(long)
    scheduler.finish(short)
    assert (scheduler.light_rows, scheduler.heavy_rows) == (0, 0)


def test_batch_work_is_heavy() -> None:
    desk = Desk()
    batch, other = make(priority=Priority.BATCH), make()
    desk.add(batch)
    desk.plan()
    desk.add(other)
    plan = desk.plan()
    assert plan is not None
    assert plan.active == (other,)


@pytest.mark.parametrize("light_load", [0.5, 1.0])
def test_heavy_ones_have_a_quarter_of_the_time_or_what_light_ones_leave(light_load: float) -> None:
    """Light ones come one by one, run for 20 ms, and with half the load are away for as long."""
    desk = Desk(max_slots=64)
    desk.add(*heavy(100))
    admit_all(desk)
    [scheduler] = desk.schedulers
    seconds = {True: 0.0, False: 0.0}
    for _ in range(500):
        light = make()
        desk.add(light)
        left = 0.02
        while left > 1e-9:
            plan = desk.plan()
            assert plan is not None
            takes_part = plan.active is None
            assert plan.max_steps == (1 if takes_part else MAX_STEPS)
            spent = 0.008 if takes_part else min(left, 0.005)
            left -= spent * (not takes_part)
            seconds[takes_part] += spent
            scheduler.executed(1, spent)
        scheduler.finish(light)
        if light_load < 1:
            desk.plan()
            scheduler.executed(1, 0.02)
            seconds[True] += 0.02
    share = seconds[True] / sum(seconds.values())
    assert share == pytest.approx(0.25 if light_load == 1 else 0.5, abs=0.03)


def test_heavy_ones_that_wait_are_owed_slots_as_well() -> None:
    desk = Desk(max_slots=64)
    quick = [make() for _ in range(200)]
    desk.add(*quick)
    desk.plan()
    desk.add(*heavy(100))
    [scheduler] = desk.schedulers
    assert scheduler.light_rows == 64
    for sequence in quick[:64]:
        scheduler.finish(sequence)
        desk.plan()
        scheduler.executed(1, 0.005)
        assert scheduler.heavy_rows <= 16
        if scheduler.heavy_rows:
            break
    assert scheduler.heavy_rows > 0


def test_a_runner_that_cannot_pause_is_told_to_run_everybody() -> None:
    desk = Desk(max_slots=64, can_pause=False)
    desk.add(*heavy(100))
    admit_all(desk)
    [scheduler] = desk.schedulers
    assert scheduler.heavy_rows == 48
    light = make()
    desk.add(light)
    plan = desk.plan()
    assert plan is not None
    assert (plan.newcomers, plan.active, plan.max_steps) == ((light,), None, MAX_STEPS)


def test_a_light_one_goes_where_fewer_light_ones_are() -> None:
    desk = Desk(max_slots=64, workers=2)
    desk.add(*heavy(200))
    for worker in (0, 1):
        while desk.newcomers(worker):
            pass
    first, second = make(), make()
    desk.add(first)
    assert desk.newcomers(0) == [first]
    desk.add(second)
    assert desk.newcomers(0) == []
    assert desk.newcomers(1) == [second]


def test_a_leak_is_noticed_when_idle() -> None:
    [scheduler] = Desk().schedulers
    scheduler.slots.acquire(1)
    with pytest.raises(RuntimeError, match="1 slots are in use, but no sequence runs"):
        scheduler.check_idle()


@pytest.mark.parametrize("seed", range(20))
def test_a_random_life_neither_leaks_nor_starves(seed: int) -> None:
    """Arrivals, ends and cancellations at random on uneven workers: all end, no slot is lost."""
    generator = random.Random(seed)
    desk = Desk(budget=40)
    desk.schedulers = [
        Scheduler(max_slots=8 + (worker == 0), encode_token_budget=40)
        for worker in range(generator.choice([1, 2, 3]))
    ]
    steps_left = {
        make(
            generator.randrange(2, 60),
            beam_size=generator.choice([1, 1, 2, 4, 8]),
            light_steps=generator.choice([None, 0, 5]),
        ): generator.randrange(1, 30)
        for _ in range(80)
    }
    arriving = list(steps_left)
    admitted: list[Sequence] = []
    for _ in range(5000):
        if arriving and generator.random() < 0.5:
            count = generator.randrange(1, min(20, len(arriving)) + 1)
            for _ in range(count):
                desk.add(arriving.pop())
        if generator.random() < 0.1:
            leaving = generator.choice(list(steps_left))
            desk.waiting.remove(leaving) or [s.remove(leaving) for s in desk.schedulers]
        worker = generator.randrange(len(desk.schedulers))
        scheduler = desk.schedulers[worker]
        plan = desk.plan(worker)
        admitted += plan.newcomers if plan else []
        scheduler.executed(1, generator.choice([0.001, 0.01]))
        owned = [slot for x in scheduler.running for slot in x.slots]
        assert len(owned) == len(set(owned)) == scheduler.slots.num_used
        # Whatever waits, somebody runs who will make room, or somebody would admit it now.
        share = fair_share(desk.schedulers, desk.waiting)
        assert (
            not desk.waiting
            or any(s.running for s in desk.schedulers)
            or any(s.can_admit(desk.waiting, share) for s in desk.schedulers)
        )
        for sequence in (plan and plan.active) or list(scheduler.running):
            steps_left[sequence] -= 1
            if steps_left[sequence] == 0:
                scheduler.finish(sequence)
        if not arriving and not desk.waiting and not any(s.running for s in desk.schedulers):
            break
    assert not arriving
    assert len(desk.waiting) == 0
    for scheduler in desk.schedulers:
        assert not scheduler.running
        scheduler.check_idle()
    assert len(admitted) == len(set(admitted))


def test_plans_are_short_while_somebody_wants_to_hear_of_tokens() -> None:
    desk = Desk()
    plain, told = make(), make()
    told.on_decided = print
    desk.add(plain)
    steps = []
    for newcomer in (None, told, None, None):
        if newcomer is not None:
            desk.add(newcomer)
        plan = desk.plan()
        assert plan is not None
        steps.append(plan.max_steps)
        desk.schedulers[0].executed(1, 0.002)
    desk.schedulers[0].finish(told)
    plan = desk.plan()
    assert plan is not None
    assert steps == [MAX_STEPS, 2, 2, 2]
    assert plan.max_steps == MAX_STEPS


def test_a_plan_of_which_no_step_has_been_looked_at_says_nothing_of_how_long_one_takes() -> None:
    desk = Desk()
    told = make()
    told.on_decided = print
    desk.add(told)
    steps = []
    for seconds in (0.008, 0.0, 0.008):
        plan = desk.plan()
        assert plan is not None
        steps.append(plan.max_steps)
        desk.schedulers[0].executed(4, seconds)
    assert steps == [5, 2, 2]
