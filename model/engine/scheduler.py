"""Who of the waiting runs on one worker, and who takes part in its next steps. Integers, no tensor.

A sequence is waiting, then running, then finished. It finishes when its search is done, when it is
cancelled, or when its deadline passes; its slots are free for the very next plan.

Sequences are light or heavy, by what their whole request costs in rows times tokens. A request is
light if its sources have few tokens for each slot of the engine, and until its steps have taken
twice as many; any other is heavy, and so is one of Priority.BATCH. Light ones go first: while some
run on a worker, its heavy ones pause, which is that they keep their slots and what is cached, and
take no part in the steps. Heavy ones leave a quarter of the slots free, so that a light one need
not wait for any, and are encoded in small portions. In return a quarter of the time is theirs
(`TimeShare`): when light ones have run so long that heavy ones had less, everybody takes part until
they have had it. And while light ones wait for slots, heavy ones are given up to a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from model.engine.sequence import Sequence, SequenceStatus
from model.engine.slots import SlotPool
from model.engine.time_share import GUARANTEED_SHARE, TimeShare
from model.engine.waiting import WaitingQueue

__all__ = ["MAX_STEPS", "FairShare", "Scheduler", "StepPlan", "fair_share", "steps_as_light"]

MAX_STEPS = 16
"""Most decode steps of one plan. An arrival that can be admitted, a cancellation and a finish end a
plan sooner, so this bounds only how late a deadline is noticed and how old the statistics are."""
_REPORT_SECONDS = 0.005
"""About how long a plan takes, if that is less, while somebody wants to hear of tokens as soon as
they are decided."""

_ADMISSION_DIVISOR = 8
"""Newcomers come by at least 1 / 8 of the slots at a time, unless fewer wait: encoding one source
reads as many weights as encoding several. It leaves 1 / 16 of the slots empty on average, and was
worth 6 to 10 % of the tokens per second with greedy search, nothing with a beam of 4."""
_HEAVY_ADMISSION_DIVISOR = 32
"""The same for heavy ones, of whom few are encoded at a time anyway."""

_LEAST_ENCODE_TOKENS = 2048
_ENCODE_TOKENS_A_SLOT = 4
"""So that all newcomers that an eighth of the slots has room for come at once, if they have up to
32 tokens each: fewer at a time would leave more slots empty, and make more plans."""

_LIGHT_TOKENS_A_SLOT = 4
"""A request is light up to so many source tokens, times its beam, for each slot of the engine: with
two workers of 64 slots a sentence of 128 tokens and a beam of 4."""
_HEAVY_TOKENS_A_SLOT = 1
"""Most source tokens of one plan's heavy newcomers, for each slot of the worker: a light one that
arrives meanwhile waits until they are encoded."""
_LIGHT_SLOTS_SHARE = 0.25
"""Share of a worker's slots that heavy sequences leave free."""


class FairShare(NamedTuple):
    """Slots at which a worker leaves the rest to the others; the last sequence may go beyond."""

    light: int
    heavy: int


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What a runner is to do, in this order."""

    removed: tuple[Sequence, ...]
    """Cancelled or expired since the last plan. Their slots may belong to newcomers already."""
    newcomers: tuple[Sequence, ...]
    """To be encoded; their slots are set."""
    active: tuple[Sequence, ...] | None = None
    """Who takes part in the steps, the newcomers included; None is everybody who runs."""
    max_steps: int
    """Most decode steps to take, at least 1."""
    freed_rows: int = 1
    """Slots that must become free before the next plan has newcomers; see `Runner.execute`."""

    @cached_property
    def source_tokens(self) -> int:
        """Those of the newcomers."""
        return sum([sequence.source_len for sequence in self.newcomers])


class Scheduler:
    """The slots of one worker and the sequences in them. Not thread-safe.

    Args:
        max_slots: of the worker's runner.
        encode_token_budget: most source tokens of one plan's newcomers; a longer source goes alone.
            When not given, enough for an eighth of the slots.
        can_pause: whether its runner can leave sequences out of its steps; see `Runner`.
    """

    def __init__(
        self, *, max_slots: int, encode_token_budget: int | None = None, can_pause: bool = True
    ) -> None:
        self.slots = SlotPool(max_slots)
        self.running: dict[Sequence, float] = {}
        """With the number of steps after which each is heavy: 0 of those that are."""
        self.light_rows = 0
        """Slots of the light ones."""
        self._num_light = 0
        self._num_steps = 0
        self._num_reporting = 0
        self._step_seconds = 0.001
        self._next_demotion = 0
        self._can_pause = can_pause
        self._time = TimeShare()
        if encode_token_budget is None:
            encode_token_budget = max(_LEAST_ENCODE_TOKENS, _ENCODE_TOKENS_A_SLOT * max_slots)
        portion = min(encode_token_budget, _HEAVY_TOKENS_A_SLOT * max_slots)
        self._encode_token_budgets = {False: encode_token_budget, True: portion}
        self._least_admitted = {
            False: max_slots / _ADMISSION_DIVISOR,
            True: max_slots / _HEAVY_ADMISSION_DIVISOR,
        }
        self._removed: dict[Sequence, None] = {}

    @property
    def heavy_rows(self) -> int:
        """Slots of the heavy ones."""
        return self.slots.num_used - self.light_rows

    def can_admit(self, waiting: WaitingQueue, share: FairShare) -> bool:
        """Whether a plan made now would have newcomers."""
        return self._next_class(waiting, share) is not None

    def schedule(self, waiting: WaitingQueue, share: FairShare, now: float) -> StepPlan | None:
        """Admits whom it can, and says what is to be done; None when that is nothing."""
        self._demote()
        newcomers = self._admit(waiting, share, now)
        if not (self._removed or self.running):
            return None
        removed, self._removed = tuple(self._removed), {}
        both_run = 0 < self._num_light < len(self.running)
        paused = both_run and self._can_pause and not self._time.heavy_are_owed
        self._time.begin(
            heavy_run=self._num_light < len(self.running) and not paused,
            heavy_wait=paused or waiting.num_rows(heavy=True) > 0,
        )
        in_turns = both_run and self._can_pause and not paused
        return StepPlan(
            removed=removed,
            newcomers=tuple(newcomers),
            active=self._light() if paused else None,
            max_steps=1 if in_turns or self.can_admit(waiting, share) else self._most_steps(),
            freed_rows=self._missing_rows(waiting),
        )

    def executed(self, num_steps: int, seconds: float) -> None:
        """Takes note of how many steps the last plan took, and how long that was."""
        self._num_steps += num_steps
        if num_steps and seconds:  # a runner that looks at steps later may not know any yet
            self._step_seconds = seconds / num_steps
        self._time.end(seconds)

    def finish(self, sequence: Sequence) -> bool:
        """Takes out a sequence whose search is done; False when it has been removed before."""
        running = sequence in self.running
        self.finish_all([sequence])
        return running

    def finish_all(self, sequences: Collection[Sequence]) -> None:
        """Takes out sequences whose search is done, those that have not been removed before."""
        if not sequences:
            return
        slots: list[int] = []
        num_light = light_rows = 0
        take, finished = self.running.pop, SequenceStatus.FINISHED
        for sequence in sequences:
            last = take(sequence, None)
            if last is None:
                continue
            slots += sequence.slots
            if sequence.on_decided is not None:
                self._num_reporting -= sequence.reports
            if last:
                num_light += 1
                light_rows += sequence.beam_size
            sequence.status = finished
        self._num_light -= num_light
        self.light_rows -= light_rows
        self.slots.release(slots)
        # The runner has forgotten them by itself, and need not be told.
        if self._removed:
            for sequence in sequences:
                self._removed.pop(sequence, None)

    def remove(self, sequence: Sequence) -> bool:
        """Takes out a sequence that is not done, if it runs here. The next plan says so."""
        if sequence not in self.running:
            return False
        self.finish(sequence)
        self._removed[sequence] = None
        return True

    def check_idle(self) -> None:
        """With nobody running every slot must be free.

        Raises:
            RuntimeError: a slot has leaked.
        """
        if not self.running and self.slots.num_used:
            raise RuntimeError(f"{self.slots.num_used} slots are in use, but no sequence runs")

    def _most_steps(self) -> int:
        """Most steps of a plan that nothing else keeps short."""
        if not self._num_reporting:
            return MAX_STEPS
        return max(1, min(MAX_STEPS, int(_REPORT_SECONDS / max(1e-6, self._step_seconds))))

    def _missing_rows(self, waiting: WaitingQueue) -> int:
        """Slots that are too few for the next newcomers, about; 1 if nobody waits."""
        rows = [
            max(min(waiting.num_rows(heavy), least), waiting.peek(heavy).beam_size)
            for heavy, least in self._least_admitted.items()
            if waiting.num_rows(heavy)
        ]
        return max(1, math.ceil(min(rows)) - self.slots.num_free) if rows else 1

    def _next_class(
        self, waiting: WaitingQueue, share: FairShare, others_come: bool = False
    ) -> bool | None:
        """Whether the sequence that is admitted next is heavy; None when nobody is.

        Who may be admitted but does not fit is the first of the next plan, or of another worker's:
        to let others pass would be to let it starve.

        Args:
            others_come: with the same plan, so that it need not be worth a plan of its own.
        """
        heavy_first = self._time.heavy_are_owed or not self._can_pause
        for heavy in (heavy_first, not heavy_first):
            if heavy and self._num_light and not heavy_first:
                break  # it would pause
            least = 1 if others_come else self._least_admitted[heavy]
            rows = min(waiting.num_rows(heavy), least)
            if rows and self._room(waiting, share, heavy) >= rows:
                fits = self.slots.num_free >= max(rows, waiting.peek(heavy).beam_size)
                return heavy if fits else None
        return None

    def _room(self, waiting: WaitingQueue, share: FairShare, heavy: bool) -> float:
        """Slots that those of a class may still be given; the last sequence may go beyond."""
        if not heavy:
            return math.inf if self.light_rows < share.light else 0
        if self.heavy_rows >= share.heavy:
            return 0
        return self._most_heavy_rows(waiting) - self.heavy_rows

    def _rows_until_full(self, waiting: WaitingQueue, share: FairShare, heavy: bool) -> int:
        """Slots after which those of a class have no room any more."""
        if not heavy:
            return share.light - self.light_rows
        return min(share.heavy, self._most_heavy_rows(waiting)) - self.heavy_rows

    def _most_heavy_rows(self, waiting: WaitingQueue) -> int:
        part = GUARANTEED_SHARE if waiting.num_rows(heavy=False) else 1 - _LIGHT_SLOTS_SHARE
        return max(1, int(self.slots.max_slots * part))

    def _admit(self, waiting: WaitingQueue, share: FairShare, now: float) -> list[Sequence]:
        newcomers: list[Sequence] = []
        num_tokens = 0
        while (heavy := self._next_class(waiting, share, bool(newcomers))) is not None:
            # What follows the first may be of the other class: others come with it then. From there
            # on, who may come of that one does not change while there are some left of this one.
            rows = self._rows_until_full(waiting, share, heavy) if newcomers else 1
            most = self._encode_token_budgets[heavy] - num_tokens if newcomers else math.inf
            found = waiting.pop_some(
                heavy, until_rows=rows, free_rows=self.slots.num_free, most_tokens=most
            )
            if not found:
                break
            num_tokens += sum([sequence.source_len for sequence in found])
            self._begin(found, heavy, now)
            newcomers += found
        return newcomers

    def _begin(self, sequences: list[Sequence], heavy: bool, now: float) -> None:
        rows = sum([sequence.beam_size for sequence in sequences])
        slots = self.slots.acquire(rows)
        begin = 0
        last = 0.0
        num_steps, running, status = self._num_steps, self.running, SequenceStatus.RUNNING
        for sequence in sequences:
            end = begin + sequence.beam_size
            sequence.slots = slots[begin:end]
            begin = end
            sequence.status = status
            sequence.scheduled_at = now
            if sequence.on_decided is not None:
                self._num_reporting += sequence.reports
            if not heavy:
                steps = sequence.light_steps
                last = math.inf if steps is None else num_steps + steps
            running[sequence] = last
        if not heavy:
            self._num_light += len(sequences)
            self.light_rows += rows

    def _light(self) -> tuple[Sequence, ...]:
        return tuple([sequence for sequence, last in self.running.items() if last])

    def _demote(self) -> None:
        """Those who have been light for long enough are heavy now. Looked at now and then only."""
        if self._num_steps < self._next_demotion:
            return
        self._next_demotion = self._num_steps + MAX_STEPS
        due = self._num_steps
        for sequence in [each for each, last in self.running.items() if 0 < last <= due]:
            self.running[sequence] = 0
            self._num_light -= 1
            self.light_rows -= sequence.beam_size


def fair_share(schedulers: Collection[Scheduler], waiting: WaitingQueue) -> FairShare:
    """Slots that each worker would use if all who run and wait were spread evenly over them.

    As long as somebody waits, the worker with the fewest slots in use for that class is below it.
    """
    light = sum(scheduler.light_rows for scheduler in schedulers) + waiting.num_rows(heavy=False)
    heavy = sum(scheduler.heavy_rows for scheduler in schedulers) + waiting.num_rows(heavy=True)
    return FairShare(light=-(-light // len(schedulers)), heavy=-(-heavy // len(schedulers)))


def steps_as_light(*, num_sources: int, source_tokens: int, beam_size: int, max_slots: int) -> int:
    """For how many decode steps the sequences of a request are light; 0: they are heavy.

    Args:
        num_sources: of the request.
        source_tokens: of all of them together.
        beam_size: of each.
        max_slots: of all workers together.
    """
    most = _LIGHT_TOKENS_A_SLOT * max_slots
    if source_tokens * beam_size > most:
        return 0
    return 2 * most // max(1, num_sources * beam_size)
