"""The running sequences that are decoded together, and the graphs that do it.

Together are those with equally many beams that all have a repetition guard, or none of which has;
the same for shortlists, for lexical constraints, and for asking where the source is attended to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from model.engine.cuda.stream import DeviceStream
from model.engine.sequence import Sequence

__all__ = ["DecodeGroup", "buckets_for_sequences"]


def buckets_for_sequences(capacity: int) -> list[int]:
    """The numbers of sequences that there are graphs for: 1, 2, 3, 4, 6, 8, 12, ..., capacity."""
    buckets = {capacity}
    size = 1
    while size < capacity:
        buckets.update({size, min(size + (size + 1) // 2, capacity)})
        size *= 2
    return sorted(buckets)


class DecodeGroup:
    """Sequences in a table without gaps: one that leaves is replaced by the last one.

    Args:
        stream: of the device.
        step: decodes the slots (G, beam) of G sequences and writes their flags (G,), all on the
            device.
        num_beams: of each sequence.
        capacity: most sequences.
        spare: the slot of what only fills up a bucket.
        captured: whether steps become graphs; those that wait for the host cannot.
    """

    def __init__(
        self,
        stream: DeviceStream,
        step: Callable[[Tensor, Tensor], None],
        *,
        num_beams: int,
        capacity: int,
        spare: int,
        captured: bool = True,
    ) -> None:
        self.num_beams = num_beams
        self.buckets = buckets_for_sequences(capacity)
        self._stream = stream
        self._step = step
        self._spare = spare
        self._captured = captured
        self._members: list[Sequence] = []
        self._snapshot: tuple[Sequence, ...] | None = None
        """The members as of the last upload; None when they have changed."""
        self._places: dict[Sequence, int] = {}
        self._table = np.full((capacity, num_beams), spare, dtype=np.int32)
        self._rows = stream.upload(self._table)
        self._flags = stream.upload(np.zeros(capacity, dtype=np.int32))
        self._graphs: dict[int, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, sequence: Sequence) -> None:
        """Its slots are set."""
        place = len(self._members)
        self._members.append(sequence)
        self._places[sequence] = place
        self._table[place] = sequence.slots
        self._snapshot = None

    def remove(self, sequence: Sequence) -> None:
        """Takes it out."""
        place, last = self._places.pop(sequence), self._members.pop()
        if last is not sequence:
            self._members[place] = last
            self._places[last] = place
            self._table[place] = self._table[len(self._members)]
        self._table[len(self._members)] = self._spare
        self._snapshot = None

    def queue_step(self) -> tuple[tuple[Sequence, ...], Tensor]:
        """Queues a decode step.

        Returns:
            Who takes part, and a tensor of the host that will hold their flags in this order.
        """
        bucket = next(bucket for bucket in self.buckets if bucket >= len(self._members))
        graph = self.graph(bucket)
        if self._snapshot is None:
            self._snapshot = tuple(self._members)
            self._stream.upload(self._table[:bucket], self._rows[:bucket])
        graph()
        return self._snapshot, self._stream.download(self._flags[:bucket])

    def graph(self, bucket: int) -> Callable[[], None]:
        """What queues a step of `bucket` sequences; captured when first asked for."""
        if not self._captured:
            return lambda: self._stream.run(
                lambda: self._step(self._rows[:bucket], self._flags[:bucket])
            )
        if bucket not in self._graphs:
            # Capturing executes a step: one in which nobody takes part.
            self._stream.run(self._empty)
            self._snapshot = None
            self._graphs[bucket] = self._stream.capture(
                lambda: self._step(self._rows[:bucket], self._flags[:bucket])
            )
        return self._graphs[bucket]

    def _empty(self) -> None:
        self._rows.fill_(self._spare)
