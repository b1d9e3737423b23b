"""A runner without a model: it counts, and holds the engine to the contract of `Runner`."""

from __future__ import annotations

import threading
import time

from model.config import GenerationConfig, Priority
from model.decoding.search import FinishReason, Hypothesis
from model.decoding.token_ids import packed_ids
from model.engine.runner import DecidedTokens, FinishedSequence, StepOutcome
from model.engine.scheduler import StepPlan
from model.engine.sequence import Sequence

EOS = 2


def make(
    length: int = 3,
    *,
    beam_size: int = 1,
    limit: int = 50,
    deadline: float | None = None,
    priority: Priority = Priority.INTERACTIVE,
    light_steps: int | None = None,
) -> Sequence:
    """A sequence as the engine makes it; it takes `limit` steps of a FakeRunner."""
    return Sequence(
        source=packed_ids((*range(4, 4 + length - 1), EOS)),
        generation=GenerationConfig(beam_size=beam_size),
        max_new_tokens=limit,
        arrived_at=0.0,
        deadline=deadline,
        priority=priority,
        light_steps=light_steps,
    )


def until(condition) -> None:
    """Waits for another thread to make a condition true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        threading.Event().wait(0.001)


class FakeRunner:
    """A sequence is done after `max_new_tokens` steps, or with the next one once `ending` is set.

    With `gated` each step waits until the test has released it.
    """

    device = "fake"
    dtype = "float32"
    can_pause = True

    def __init__(self, max_slots: int = 4, *, gated: bool = False, notes: tuple[str, ...] = ()):
        self.max_slots = max_slots
        self.notes = notes
        self.gated = gated
        self.may_step = threading.Semaphore(0)
        self.ending = False
        self.error: BaseException | None = None
        self.plans: list[StepPlan] = []
        """Those that were begun."""
        self.outcomes: list[StepOutcome] = []
        self.running: dict[Sequence, int] = {}
        """Steps taken."""
        self.num_steps = 0
        self.num_interrupts = 0
        self.num_releases = 0
        self.seconds_a_row = 0.0
        """That it claims to have taken."""
        self.closed = False
        self._interrupted = False

    def execute(self, plan: StepPlan) -> StepOutcome:
        assert not self.closed
        assert plan.max_steps >= 1
        for sequence in plan.removed:
            del self.running[sequence]
        for sequence in plan.newcomers:
            assert len(sequence.slots) == sequence.beam_size
            self.running[sequence] = 0
        owned = [slot for sequence in self.running for slot in sequence.slots]
        assert len(owned) == len(set(owned))
        assert all(0 <= slot < self.max_slots for slot in owned)
        self.plans.append(plan)
        active = [*self.running] if plan.active is None else [*plan.active]
        outcome = StepOutcome()
        while active and not outcome.finished and outcome.steps < plan.max_steps:
            self._step(active, outcome)
            if self._interrupted:
                self._interrupted = False
                break
        outcome.decided = [
            DecidedTokens(sequence, (9,) * outcome.steps)
            for sequence in self.running
            if sequence.reports and outcome.steps
        ]
        self.outcomes.append(outcome)
        return outcome

    def interrupt(self) -> None:
        assert not self.closed
        self.num_interrupts += 1
        self._interrupted = True

    def release_memory(self) -> None:
        assert not self.closed
        assert not self.running
        self.num_releases += 1

    def close(self) -> None:
        assert not self.closed
        self.closed = True

    def step(self, count: int = 1) -> None:
        """Lets a gated runner take `count` steps, and waits until it has."""
        wanted = self.num_steps + count
        self.may_step.release(count)
        until(lambda: self.num_steps >= wanted)

    def _step(self, active: list[Sequence], outcome: StepOutcome) -> None:
        if self.gated:
            assert self.may_step.acquire(timeout=60)
        if self.error is not None:
            raise self.error
        outcome.steps += 1
        rows = sum(sequence.beam_size for sequence in active)
        outcome.rows += rows
        outcome.decode_seconds += rows * self.seconds_a_row
        for sequence in active:
            self.running[sequence] += 1
            if self.ending or self.running[sequence] >= sequence.max_new_tokens:
                tokens = (9,) * self.running.pop(sequence)
                outcome.finished.append(FinishedSequence(sequence, (_hypothesis(tokens),)))
        self.num_steps += 1


def _hypothesis(tokens: tuple[int, ...]) -> Hypothesis:
    return Hypothesis(
        target=packed_ids(tokens), score=-1.0, log_prob=-1.0, finish_reason=FinishReason.LENGTH
    )
