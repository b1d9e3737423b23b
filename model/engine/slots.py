"""Which slots of the KV cache are free."""

from __future__ import annotations

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
        self.num_free = max_slots
        """Slots that can be acquired."""
        # The highest first. A busy engine has few of them, and to sort what was sorted is quick.
        self._free = list(range(max_slots - 1, -1, -1))
        self._used: set[int] = set()

    @property
    def num_used(self) -> int:
        """Slots that are taken."""
        return self.max_slots - self.num_free

    def acquire(self, count: int) -> list[int]:
        """Takes `count` slots."""
        if count > self.num_free:
            raise ValueError(f"at most {self.num_free} slots are free, but {count} were asked for")
        left = self.num_free - count
        slots = self._free[left:]
        slots.reverse()
        del self._free[left:]
        self._used.update(slots)
        self.num_free = left
        return slots

    def release(self, slots: list[int]) -> None:
        """Gives slots back."""
        if len(slots) != len(set(slots)) or not self._used.issuperset(slots):
            raise ValueError(f"slots {slots} cannot be released: one of them is not in use")
        self._used.difference_update(slots)
        self._free += slots
        self._free.sort(reverse=True)
        self.num_free = len(self._free)
