"""Who waits, who runs, who is done. Integers and queues, no tensor: it is tested without torch.

A sequence is waiting, then running, then finished. It becomes running when its slots are free and
its source fits into what may be encoded before the next step; it is first come, first served, so
nobody starves. It finishes when its search is done, when it is cancelled, or when its deadline
passes, and its slots are free for the very next step.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from model.decoding.search import Candidate
from model.engine.sequence import Sequence, SequenceStatus
from model.engine.slots import SlotPool

__all__ = ["Scheduler", "SlotMove", "StepPlan"]


class SlotMove(NamedTuple):
    """A hypothesis goes on in another row: its cached past must be copied there."""

    from_slot: int
    to_slot: int
    length: int
    """Cached positions."""


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What the runner is to do in one step, in this order."""

    moves: tuple[SlotMove, ...]
    """All are read before any is written."""
    newcomers: tuple[Sequence, ...]
    """To be encoded; they are among the running ones."""
    running: tuple[Sequence, ...]
    """To be decoded by one token, those of one beam size side by side."""

    @property
    def num_rows(self) -> int:
        """Rows of the decode step."""
        return sum(sequence.beam_size for sequence in self.running)


@dataclass(kw_only=True)
class Scheduler:
    """Bookkeeping for `max_slots` slots; used by one thread."""

    max_slots: int
    encode_token_budget: int
    """Most source tokens, padding included, encoded before one step; a longer source goes alone."""
    waiting: dict[int, Sequence] = field(default_factory=dict)
    """In order of arrival; keyed by id() for cancellation in constant time."""
    running: dict[int, Sequence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = SlotPool(self.max_slots)
        self._moves: list[SlotMove] = []
        self._deadlines: list[tuple[float, int, Sequence]] = []
        self._tie_breaker = itertools.count()

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Appends to the waiting queue; its bound is the engine's business."""
        self.waiting[id(sequence)] = sequence
        if sequence.deadline is not None:
            self._forget_kept_deadlines()
            entry = (sequence.deadline, next(self._tie_breaker), sequence)
            heapq.heappush(self._deadlines, entry)

    def remove(self, sequence: Sequence) -> bool:
        """Takes a waiting or running sequence out and frees its slots; False when it is neither."""
        if sequence.status is SequenceStatus.FINISHED:
            return False
        if self.waiting.pop(id(sequence), None) is None and id(sequence) not in self.running:
            return False
        self._release(sequence)
        return True

    def expire(self, now: float) -> list[Sequence]:
        """Removes and returns the sequences whose deadline is not after `now`."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            sequence = heapq.heappop(self._deadlines)[2]
            if self.remove(sequence):
                expired.append(sequence)
        return expired

    def schedule(self, now: float) -> StepPlan:
        """Admits whom it can and lists what the next step has to do."""
        newcomers = self._admit(now)
        moves, self._moves = tuple(self._moves), []
        return StepPlan(
            moves=moves,
            newcomers=tuple(newcomers),
            running=tuple(sorted(self.running.values(), key=lambda sequence: sequence.beam_size)),
        )

    def update(
        self, plan: StepPlan, candidates: Mapping[int, list[Candidate]], now: float
    ) -> list[Sequence]:
        """Advances every search by the step's candidates (keyed by id()); returns the finished."""
        finished = []
        for sequence in plan.running:
            if sequence.position == 0:
                sequence.first_token_at = now
            survivors = sequence.search.advance(candidates[id(sequence)])
            if sequence.search.done:
                self._release(sequence)
                finished.append(sequence)
                continue
            sequence.position += 1
            sequence.last_tokens = [survivor.token_id for survivor in survivors]
            self._moves += [
                SlotMove(sequence.slots[survivor.parent], sequence.slots[row], sequence.position)
                for row, survivor in enumerate(survivors)
                if survivor.parent != row
            ]
        return finished

    def check_idle(self) -> None:
        """With nobody waiting or running every slot must be free.

        Raises:
            RuntimeError: a slot has leaked.
        """
        if not self.has_work and self.slots.num_used:
            raise RuntimeError(f"{self.slots.num_used} slots are in use, but no sequence runs")
        if not self.has_work:
            self._deadlines.clear()

    def _admit(self, now: float) -> list[Sequence]:
        newcomers: list[Sequence] = []
        longest = 0
        for sequence in list(itertools.islice(self.waiting.values(), self.slots.num_free)):
            longest = max(longest, sequence.source_len)
            fits = longest * (len(newcomers) + 1) <= self.encode_token_budget
            if self.slots.num_free < sequence.beam_size or (newcomers and not fits):
                break
            del self.waiting[id(sequence)]
            sequence.slots = self.slots.acquire(sequence.beam_size)
            sequence.status = SequenceStatus.RUNNING
            sequence.scheduled_at = now
            self.running[id(sequence)] = sequence
            newcomers.append(sequence)
        return newcomers

    def _forget_kept_deadlines(self) -> None:
        """Drops deadlines of finished sequences, once they are more than half of all."""
        if len(self._deadlines) > 2 * (len(self.waiting) + len(self.running)):
            self._deadlines = [
                entry for entry in self._deadlines if entry[2].status is not SequenceStatus.FINISHED
            ]
            heapq.heapify(self._deadlines)

    def _release(self, sequence: Sequence) -> None:
        self.running.pop(id(sequence), None)
        if sequence.slots:
            released = set(sequence.slots)
            # A move that nobody waits for any more must not overwrite the slot's next owner.
            self._moves = [move for move in self._moves if move.to_slot not in released]
            self.slots.release(sequence.slots)
        sequence.slots = []
        sequence.status = SequenceStatus.FINISHED
