"""What the plain runner does within one call; that it does it right is shown by equivalence."""

import pytest
import torch

from model.engine.eager.runner import EagerRunner
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import make


@pytest.fixture
def runner() -> EagerRunner:
    model = tiny_transformer(projection_bias=True)
    with torch.no_grad():
        model.projection.bias[model.config.eos_id] = -1e9  # so that only limits end a search
    cpu = torch.device("cpu")
    return EagerRunner(model, device=cpu, dtype=torch.float32, max_slots=8)


def plan(
    *newcomers: Sequence,
    removed: tuple[Sequence, ...] = (),
    active: tuple[Sequence, ...] | None = None,
    max_steps: int = 16,
) -> StepPlan:
    return StepPlan(removed=removed, newcomers=newcomers, active=active, max_steps=max_steps)


def placed(*slots: int, length: int = 3, limit: int = 50) -> Sequence:
    sequence = make(length, beam_size=len(slots), limit=limit)
    sequence.slots = list(slots)
    return sequence


def test_a_call_ends_with_the_first_finish(runner: EagerRunner) -> None:
    short, long = placed(0, limit=3), placed(1, 2, limit=9)
    outcome = runner.execute(plan(short, long))
    assert (outcome.steps, outcome.rows) == (3, 9)
    assert [done.sequence for done in outcome.finished] == [short]
    outcome = runner.execute(plan())
    assert (outcome.steps, outcome.rows) == (6, 12)
    [done] = outcome.finished
    assert done.sequence is long
    assert len(done.hypotheses[0].token_ids) == 9


def test_a_call_ends_after_its_steps(runner: EagerRunner) -> None:
    sequence = placed(0)
    assert runner.execute(plan(sequence, max_steps=5)).steps == 5
    assert runner.execute(plan(max_steps=1)).steps == 1


def test_an_interruption_costs_one_step(runner: EagerRunner) -> None:
    runner.interrupt()
    assert runner.execute(plan(placed(0))).steps == 1
    assert runner.execute(plan()).steps == 16


def test_with_nobody_running_nothing_is_done(runner: EagerRunner) -> None:
    leaving = placed(0, 1)
    runner.execute(plan(leaving, max_steps=1))
    outcome = runner.execute(plan(removed=(leaving,)))
    assert (outcome.steps, outcome.rows, outcome.finished) == (0, 0, [])


def test_slots_of_the_removed_are_another_ones_in_the_same_plan(runner: EagerRunner) -> None:
    alone = placed(0, 1, limit=7)
    [undisturbed] = runner.execute(plan(alone)).finished
    leaving, owner = placed(0, 1, length=9), placed(1, 0, limit=7)
    runner.execute(plan(leaving, max_steps=4))
    [finished] = runner.execute(plan(owner, removed=(leaving,))).finished
    assert finished.sequence is owner
    assert finished.hypotheses == undisturbed.hypotheses


def test_who_takes_no_part_goes_on_later_as_if_nothing_had_been(runner: EagerRunner) -> None:
    [undisturbed] = runner.execute(plan(placed(0, 1, limit=7))).finished
    paused, other = placed(0, 1, limit=7), placed(2, limit=5)
    runner.execute(plan(paused, max_steps=3))
    outcome = runner.execute(plan(other, active=(other,)))
    assert (outcome.steps, outcome.rows) == (5, 5)
    outcome = runner.execute(plan())
    assert outcome.steps == 4
    assert outcome.finished[0].hypotheses == undisturbed.hypotheses


def test_times_of_a_sequence_follow_each_other(runner: EagerRunner) -> None:
    early, late = placed(0), placed(1, length=30)
    outcome = runner.execute(plan(early, late, max_steps=2))
    assert early.encode_seconds > 0
    assert early.encoded_at < late.encoded_at <= early.first_token_at == late.first_token_at
    assert outcome.encode_seconds >= early.encode_seconds + late.encode_seconds
    assert outcome.decode_seconds > 0
