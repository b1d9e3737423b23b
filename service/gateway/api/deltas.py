"""Parts of a request's translations on their way to its client, in reading order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from model.translation import TextDelta

__all__ = ["Deltas", "PartSink"]

PartSink = Callable[[tuple[TextDelta, ...]], None]


class Deltas:
    """What is decided and not sent yet. What waits is joined, so it is never more than the
    translations themselves.

    Args:
        num_texts: of the request.
    """

    def __init__(self, num_texts: int) -> None:
        self.changed = asyncio.Event()
        """Set when there is something to take; cleared by who takes it."""
        self.begun: set[int] = set()
        """Texts of which a part has come."""
        self._num_texts = num_texts
        self._waiting: dict[int, list[str]] = {}
        """Parts by the text that they are of."""
        self._ended: set[int] = set()
        """Texts of which all is there."""
        self._current = 0
        """The text that is read now."""

    def of_part(self, indices: Sequence[int]) -> PartSink:
        """What takes the deltas of those of the texts alone, numbered from 0, which are in reading
        order among themselves."""
        begun = 0

        def add(deltas: tuple[TextDelta, ...]) -> None:
            nonlocal begun
            for number, text in deltas:
                self._ended.update(indices[begun:number])
                begun = number
                self._waiting.setdefault(indices[number], []).append(text)
                self.begun.add(indices[number])
            self.changed.set()

        return add

    def end(self, indices: Sequence[int]) -> None:
        """Takes note that all of some texts is there."""
        self._ended.update(indices)
        self.changed.set()

    def take(self) -> list[TextDelta]:
        """What comes next in reading order, at most one delta for each text."""
        taken: list[TextDelta] = []
        while self._current < self._num_texts:
            if parts := self._waiting.pop(self._current, None):
                taken.append(TextDelta(self._current, "".join(parts)))
            if self._current not in self._ended:
                break
            self._ended.discard(self._current)
            self._current += 1
        return taken
