"""Which slots of the KV cache are free."""

from __future__ import annotations

import numpy as np

__all__ = ["SlotPool"]


class SlotPool:
    """A fixed set of slots, handed out lowest first so that the used ones stay close together.

    They come and go by the dozen: what is done to many at once costs little more than to one.

    Raises:
        ValueError: more slots are asked for than are free, or a slot is released that is not used.
            Both are mistakes of the caller, which is the scheduler.
    """

    def __init__(self, max_slots: int) -> None:
        self.max_slots = max_slots
        self.num_used = 0
        """Slots that are taken."""
        self._used = np.zeros(max_slots, dtype=np.bool_)

    @property
    def num_free(self) -> int:
        """Slots that can be acquired."""
        return self.max_slots - self.num_used

    def acquire(self, count: int) -> list[int]:
        """Takes `count` slots."""
        if count > self.num_free:
            raise ValueError(f"at most {self.num_free} slots are free, but {count} were asked for")
        slots = np.flatnonzero(~self._used)[:count]
        self._used[slots] = True
        self.num_used += count
        taken: list[int] = slots.tolist()
        return taken

    def release(self, slots: list[int]) -> None:
        """Gives slots back."""
        used = self._used.copy()
        used[slots] = False
        left = int(np.count_nonzero(used))
        if self.num_used - left != len(slots):
            raise ValueError(f"slots {slots} cannot be released: one of them is not in use")
        self._used, self.num_used = used, left
