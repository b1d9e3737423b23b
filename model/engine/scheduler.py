"""Who of the waiting runs on one worker, and who runs there. Integers, no tensor.

A sequence is waiting, then running, then finished. It finishes when its search is done, when it is
cancelled, or when its deadline passes; its slots are free for the very next plan.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from model.engine.sequence import Sequence, SequenceStatus
from model.engine.slots import SlotPool
from model.engine.waiting import WaitingQueue

__all__ = ["MAX_STEPS", "Scheduler", "StepPlan"]

MAX_STEPS = 16
"""Most decode steps of one plan. An arrival that can be admitted, a cancellation and a finish end a
plan sooner, so this bounds only how late a deadline is noticed and how old the statistics are."""

_ADMISSION_DIVISOR = 8
"""Newcomers come by at least 1 / 8 of the slots at a time, unless fewer wait: encoding one source
reads as many weights as encoding several. It leaves 1 / 16 of the slots empty on average, and was
worth 6 to 10 % of the tokens per second with greedy search, nothing with a beam of 4."""


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What a runner is to do, in this order."""

    removed: tuple[Sequence, ...]
    """Cancelled or expired since the last plan. Their slots may belong to newcomers already."""
    newcomers: tuple[Sequence, ...]
    """To be encoded; their slots are set."""
    max_steps: int
    """Most decode steps to take, at least 1."""


class Scheduler:
    """The slots of one worker and the sequences in them. Not thread-safe.

    Args:
        max_slots: of the worker's runner.
        encode_token_budget: most source tokens of one plan's newcomers; a longer source goes alone.
    """

    def __init__(self, *, max_slots: int, encode_token_budget: int) -> None:
        self.slots = SlotPool(max_slots)
        self.running: set[Sequence] = set()
        self._encode_token_budget = encode_token_budget
        self._removed: dict[Sequence, None] = {}

    def can_admit(self, waiting: WaitingQueue, fair_share: int) -> bool:
        """Whether a plan made now would have newcomers.

        Args:
            fair_share: slots at which this worker leaves the rest to the others; the last sequence
                may go beyond. See `fair_share`.
        """
        free = self.slots.num_free
        return (
            len(waiting) > 0
            and self.slots.num_used < fair_share
            and waiting.peek().beam_size <= free
            and free >= min(waiting.num_rows, self.slots.max_slots / _ADMISSION_DIVISOR)
        )

    def schedule(self, waiting: WaitingQueue, fair_share: int, now: float) -> StepPlan | None:
        """Admits whom it can, and says what is to be done; None when that is nothing."""
        newcomers: list[Sequence] = []
        if self.can_admit(waiting, fair_share):
            newcomers = self._admit(waiting, fair_share, now)
        if not (self._removed or self.running):
            return None
        removed, self._removed = tuple(self._removed), {}
        return StepPlan(
            removed=removed,
            newcomers=tuple(newcomers),
            max_steps=1 if self.can_admit(waiting, fair_share) else MAX_STEPS,
        )

    def finish(self, sequence: Sequence) -> bool:
        """Takes out a sequence whose search is done; False when it has been removed before."""
        # The runner has forgotten it by itself, and need not be told.
        self._removed.pop(sequence, None)
        return self._release(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Takes out a sequence that is not done, if it runs here. The next plan says so."""
        running = self._release(sequence)
        if running:
            self._removed[sequence] = None
        return running

    def check_idle(self) -> None:
        """With nobody running every slot must be free.

        Raises:
            RuntimeError: a slot has leaked.
        """
        if not self.running and self.slots.num_used:
            raise RuntimeError(f"{self.slots.num_used} slots are in use, but no sequence runs")

    def _admit(self, waiting: WaitingQueue, fair_share: int, now: float) -> list[Sequence]:
        newcomers: list[Sequence] = []
        budget = self._encode_token_budget
        while waiting and self.slots.num_used < fair_share:
            sequence = waiting.peek()
            budget -= sequence.source_len
            # Who does not fit is the first of the next plan, or of another worker's: to let others
            # pass would be to let it starve.
            if sequence.beam_size > self.slots.num_free or (newcomers and budget < 0):
                break
            waiting.pop()
            sequence.slots = self.slots.acquire(sequence.beam_size)
            sequence.status = SequenceStatus.RUNNING
            sequence.scheduled_at = now
            self.running.add(sequence)
            newcomers.append(sequence)
        return newcomers

    def _release(self, sequence: Sequence) -> bool:
        if sequence not in self.running:
            return False
        self.running.remove(sequence)
        self.slots.release(sequence.slots)
        sequence.status = SequenceStatus.FINISHED
        return True


def fair_share(schedulers: Collection[Scheduler], waiting: WaitingQueue) -> int:
    """Slots that each worker would use if all who run and wait were spread evenly over them.

    As long as somebody waits, the worker with the fewest slots in use is below it.
    """
    rows = sum(scheduler.slots.num_used for scheduler in schedulers) + waiting.num_rows
    return -(-rows // len(schedulers))
