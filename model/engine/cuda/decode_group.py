"""The running sequences that are decoded together, and the graphs that do it.

Together are those with equally many beams that all have a repetition guard, or none of which has;
the same for shortlists, for lexical constraints, and for asking where the source is attended to.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.engine.cuda.stream import DeviceStream

__all__ = ["DecodeGroup", "Slots", "buckets_for_sequences"]

Slots = NDArray[np.int32]
"""(S, beam) slots of S sequences; the first of each, its lead, names it."""


def buckets_for_sequences(capacity: int) -> list[int]:
    """The numbers of sequences that there are graphs for: 1, 2, 3, 4, 6, 8, 12, ..., capacity."""
    buckets = {capacity}
    size = 1
    while size < capacity:
        buckets.update({size, min(size + (size + 1) // 2, capacity)})
        size *= 2
    return sorted(buckets)


class DecodeGroup:
    """Sequences in a table without gaps, in the order in which they came.

    Sequences come and go by the dozen, in every step: their slots are kept in arrays.

    Args:
        stream: of the device.
        step: decodes the slots (G, beam) of G sequences and writes their flags (G,), all on the
            device.
        num_beams: of each sequence.
        capacity: most sequences.
        spare: the slot of what only fills up a bucket; all others are below it.
        lexical: whether the host applies lexical constraints. Such steps, which wait for it, do not
            become graphs.
    """

    def __init__(
        self,
        stream: DeviceStream,
        step: Callable[[Tensor, Tensor], None],
        *,
        num_beams: int,
        capacity: int,
        spare: int,
        lexical: bool = False,
    ) -> None:
        self.num_beams = num_beams
        self.lexical = lexical
        self.buckets = buckets_for_sequences(capacity)
        self._stream = stream
        self._step = step
        self._spare = spare
        self._size = 0
        self._table = np.full((capacity, num_beams), spare, dtype=np.int32)
        self._places = np.zeros(spare, dtype=np.int32)
        """By lead, of those who are here."""
        self._uploaded: Slots | None = None
        """The leads as of the last upload; None when they have changed."""
        self._rows = stream.upload(self._table)
        self._flags = stream.upload(np.zeros(capacity, dtype=np.int32))
        self._views = {
            bucket: (self._rows[:bucket], self._flags[:bucket]) for bucket in self.buckets
        }
        """What a step of so many sequences reads and writes."""
        self._graphs: dict[int, Callable[[], None]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, slots: Slots) -> None:
        """Takes sequences in, by their slots."""
        begin, self._size = self._size, self._size + len(slots)
        self._table[begin : self._size] = slots
        self._places[slots[:, 0]] = np.arange(begin, self._size)
        self._uploaded = None

    def remove(self, leads: NDArray[np.int32]) -> Slots:
        """Takes sequences out, by their leads, and returns their slots."""
        places = self._places[leads]
        slots: Slots = self._table[places]
        stay = np.ones(self._size, dtype=np.bool_)
        stay[places] = False
        left = self._table[: self._size][stay]
        self._table[: len(left)] = left
        self._table[len(left) : self._size] = self._spare
        self._size = len(left)
        self._places[left[:, 0]] = np.arange(len(left), dtype=np.int32)
        self._uploaded = None
        return slots

    def queue_step(self) -> tuple[NDArray[np.int32], Tensor]:
        """Queues a decode step.

        Returns:
            The leads of those who take part, and a tensor of the host that will hold their flags in
            this order.
        """
        bucket = self.buckets[bisect_left(self.buckets, self._size)]
        graph = self.graph(bucket)
        rows, flags = self._views[bucket]
        if self._uploaded is None:
            self._uploaded = self._table[: self._size, 0].copy()
            self._stream.upload(self._table[:bucket], rows)
        graph()
        return self._uploaded, self._stream.download(flags)

    def graph(self, bucket: int) -> Callable[[], None]:
        """What queues a step of `bucket` sequences; captured when first asked for."""
        if self.lexical:
            return lambda: self._stream.run(lambda: self._step(*self._views[bucket]))
        if bucket not in self._graphs:
            # Capturing executes a step: one in which nobody takes part.
            self._stream.run(self._empty)
            self._uploaded = None
            self._graphs[bucket] = self._stream.capture(lambda: self._step(*self._views[bucket]))
        return self._graphs[bucket]

    def _empty(self) -> None:
        self._rows.fill_(self._spare)
