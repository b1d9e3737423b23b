"""Which slots of the KV cache are free."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

__all__ = ["SlotPool"]

_FEW = 16
"""Up to so many slots are put into the heap one by one."""


class SlotPool:
    """A fixed set of slots, handed out lowest first so that the used ones stay close together.

    Raises:
        ValueError: more slots are asked for than are free, or a slot is released that is not used.
            Both are mistakes of the caller, which is the scheduler.
    """

    def __init__(self, max_slots: int) -> None:
        self.max_slots = max_slots
        self._free = list(range(max_slots))
        self._used: set[int] = set()

    @property
    def num_free(self) -> int:
        """Slots that can be acquired."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Slots that are taken."""
        return len(self._used)

    def acquire(self, count: int) -> list[int]:
        """Takes `count` slots."""
        if count > len(self._free):
            raise ValueError(
                f"at most {len(self._free)} slots are free, but {count} were asked for"
            )
        free = self._free
        slots = [heapq.heappop(free) for _ in range(count)]
        self._used.update(slots)
        return slots

    def release(self, slots: Iterable[int]) -> None:
        """Gives slots back."""
        slots = list(slots)
        for slot in slots:
            if slot not in self._used:
                raise ValueError(f"slot {slot} cannot be released: it is not in use")
            self._used.remove(slot)
        if len(slots) < _FEW:
            for slot in slots:
                heapq.heappush(self._free, slot)
        else:
            self._free += slots
            heapq.heapify(self._free)
