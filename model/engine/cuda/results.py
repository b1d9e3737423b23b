"""Results of searches that are done: copied from the device, and looked at when there is time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.decoding.search import Hypothesis
from model.decoding.sequence_options import NO_OPTIONS
from model.engine.cuda.decode_group import Slots
from model.engine.cuda.kernels.slot_memory import SlotMemory
from model.engine.cuda.lexical import HostSearch
from model.engine.cuda.search_trace import SearchColumns, SearchTraces
from model.engine.cuda.stream import DeviceStream, Mark
from model.engine.runner import FinishedSequences
from model.engine.sequence import Sequence

__all__ = ["DoneSearches", "FetchedResults"]


class DoneSearches(NamedTuple):
    """Searches with equally many beams that have ended."""

    sequences: list[Sequence]
    slots: Slots
    columns: SearchColumns
    num_ended: NDArray[np.int32]
    """(S,) hypotheses that have ended."""
    searches: list[HostSearch | None]
    """What the host knows of each that has phrases."""

    @classmethod
    def joined(cls, parts: Iterable[DoneSearches]) -> list[DoneSearches]:
        """Those with equally many beams as one: what is done to many costs little more."""
        by_beams: dict[int, list[DoneSearches]] = {}
        for part in parts:
            by_beams.setdefault(part.slots.shape[1], []).append(part)
        return [
            cls(
                [sequence for part in same for sequence in part.sequences],
                np.concatenate([part.slots for part in same]),
                SearchColumns(
                    *map(np.concatenate, zip(*[part.columns for part in same], strict=True))
                ),
                np.concatenate([part.num_ended for part in same]),
                [search for part in same for search in part.searches],
            )
            if len(same) > 1
            else same[0]
            for same in by_beams.values()
        ]


@dataclass(eq=False, kw_only=True)
class FetchedResults:
    """`PendingResults` whose copies are queued. The slots may have other owners by now."""

    done: list[DoneSearches]
    trace: Tensor
    """(R, 2P + 8) rows of all slots, on the host, as is the next."""
    attended: Tensor | None
    """(R, P), if some sequence asks for it."""
    marks: list[Mark]
    """Behind the copies."""

    @classmethod
    def queued(
        cls, stream: DeviceStream, memory: SlotMemory, done: list[DoneSearches]
    ) -> FetchedResults:
        """Queues the copies of what the device has of some searches, at least one."""
        done = DoneSearches.joined(done)
        rows = np.concatenate([each.slots for each in done], axis=None).astype(np.int64)
        trace, copied = stream.fetch(memory.trace, rows)
        attended, marks = None, [copied]
        bound = [seq for each in done for seq in each.sequences if seq.options is not NO_OPTIONS]
        if any(sequence.options.align_to is not None for sequence in bound):
            attended, copied = stream.fetch(memory.attended, rows)
            marks.append(copied)
        return cls(done=done, trace=trace, attended=attended, marks=marks)

    @property
    def sequences(self) -> list[Sequence]:
        """Whose results they are."""
        return [sequence for each in self.done for sequence in each.sequences]

    def wait(self) -> FinishedSequences:
        """The results. On any thread."""
        for mark in self.marks:
            mark.wait()
        trace = self.trace.numpy()
        attended = None if self.attended is None else self.attended.numpy()
        hypotheses: list[tuple[Hypothesis, ...]] = []
        begin = 0
        for each in self.done:
            end = begin + each.slots.size
            traces = SearchTraces(
                trace[begin:end],
                each.slots.shape[1],
                None if attended is None else attended[begin:end],
            )
            hypotheses += traces.hypotheses(
                each.sequences, each.columns, each.num_ended, each.searches
            )
            begin = end
        return FinishedSequences(self.sequences, hypotheses)
