"""What happens in a running batch, step by step, as long as somebody watches.

Plain data, for other processes as well: nothing of it tells what is translated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from model.engine.runner import StepOutcome
    from model.engine.scheduler import StepPlan
    from model.engine.sequence import Sequence

__all__ = ["BatchRecord", "BatchStep", "BatchTrace", "RunningSequence"]

_MAX_STEPS_KEPT = 1024
"""The most records of one engine, until they are taken; of more, the oldest are dropped."""


class RunningSequence(NamedTuple):
    """A sequence that holds slots."""

    number: int
    """Unique in its engine as long as somebody watches."""
    worker: int
    """Number of the worker whose slots it has."""
    slots: tuple[int, ...]
    """One for each hypothesis, counted from 0 on each worker."""
    source_tokens: int


class BatchStep(NamedTuple):
    """One call of a worker's runner: it may take several decode steps, with the same sequences."""

    ended_at: float
    """Monotonic seconds."""
    seconds: float
    """What it took."""
    worker: int
    steps: int
    rows: int
    """Hypotheses decoded, summed over the steps."""
    joined: tuple[RunningSequence, ...]
    """Those that were given slots before it."""
    cancelled: tuple[int, ...]
    """Numbers of those that had left before it, without a translation."""
    finished: tuple[int, ...]
    """Numbers of those that it has finished: their slots are free, the results may come later."""
    waiting: int
    """Sequences that wait for slots, behind it."""


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """What has happened in the batch of an engine since it was told last."""

    taken_at: float
    """Monotonic seconds."""
    max_slots: tuple[int, ...]
    """The slots of each worker."""
    running: tuple[RunningSequence, ...]
    """Those that hold slots now."""
    steps: tuple[BatchStep, ...]
    """Oldest first."""
    dropped: int
    """Steps before these that are not told."""


class BatchTrace:
    """Takes note of the steps of an engine's workers. Not thread-safe.

    Args:
        max_slots: of each worker.
        running: the sequences that each worker has now.
    """

    def __init__(
        self, max_slots: tuple[int, ...], running: Iterable[Iterable[Sequence]] = ()
    ) -> None:
        self._max_slots = max_slots
        self._steps: deque[BatchStep] = deque(maxlen=_MAX_STEPS_KEPT)
        self._num_steps = 0
        """Since they were taken last."""
        self._num_sequences = 0
        self._running: dict[Sequence, RunningSequence] = {}
        for worker, sequences in enumerate(running):
            for sequence in sequences:
                self._join(sequence, worker)

    def add(
        self,
        worker: int,
        plan: StepPlan,
        outcome: StepOutcome,
        *,
        waiting: int,
        began_at: float,
        ended_at: float,
    ) -> None:
        """Takes note of a call of a worker's runner."""
        cancelled = self._leave(plan.removed)
        joined = tuple(self._join(sequence, worker) for sequence in plan.newcomers)
        finished = self._leave(
            [
                *(done.sequence for done in outcome.finished),
                *(each for results in outcome.pending for each in results.sequences),
            ]
        )
        self._num_steps += 1
        self._steps.append(
            BatchStep(
                ended_at=ended_at,
                seconds=ended_at - began_at,
                worker=worker,
                steps=outcome.steps,
                rows=outcome.rows,
                joined=joined,
                cancelled=cancelled,
                finished=finished,
                waiting=waiting,
            )
        )

    def take(self, now: float) -> BatchRecord | None:
        """What has been noted since the last call; None if that is nothing, and nobody runs."""
        if not (self._steps or self._running):
            return None
        steps = tuple(self._steps)
        dropped = self._num_steps - len(steps)
        self._steps.clear()
        self._num_steps = 0
        return BatchRecord(
            taken_at=now,
            max_slots=self._max_slots,
            running=tuple(self._running.values()),
            steps=steps,
            dropped=dropped,
        )

    def _join(self, sequence: Sequence, worker: int) -> RunningSequence:
        if (known := self._running.get(sequence)) is not None:
            return known  # it was running when the trace began, and is a newcomer of that plan
        self._num_sequences += 1
        known = self._running[sequence] = RunningSequence(
            self._num_sequences, worker, tuple(sequence.slots), sequence.source_len
        )
        return known

    def _leave(self, sequences: Iterable[Sequence]) -> tuple[int, ...]:
        left = (self._running.pop(sequence, None) for sequence in sequences)
        return tuple(known.number for known in left if known is not None)
