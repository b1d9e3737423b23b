"""Who runs out of time, and when."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable

from model.engine.sequence import Sequence, SequenceStatus

__all__ = ["Deadlines"]


class Deadlines:
    """A heap of deadlines. The finished are forgotten when they come up, or are too many."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Sequence]] = []
        self._tie_breaker = itertools.count()
        self._most = 64

    def __len__(self) -> int:
        """Those that are remembered."""
        return len(self._heap)

    def add(self, sequences: Iterable[Sequence]) -> None:
        """Remembers the deadlines of those who have one."""
        for sequence in sequences:
            if sequence.deadline is not None:
                if len(self._heap) >= self._most:
                    self._drop_finished()
                entry = (sequence.deadline, next(self._tie_breaker), sequence)
                heapq.heappush(self._heap, entry)

    def pop_expired(self, now: float) -> list[Sequence]:
        """The unfinished whose deadline is not after `now`, soonest first."""
        expired = []
        while self._heap and self._heap[0][0] <= now:
            sequence = heapq.heappop(self._heap)[2]
            if sequence.status is not SequenceStatus.FINISHED:
                expired.append(sequence)
        return expired

    def _drop_finished(self) -> None:
        # Twice what is left, so that the next time comes after as many additions as this one reads.
        self._heap = [
            entry for entry in self._heap if entry[2].status is not SequenceStatus.FINISHED
        ]
        heapq.heapify(self._heap)
        self._most = max(64, 2 * len(self._heap))
