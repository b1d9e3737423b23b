"""Texts translated as they come, in their order, with a bounded look-ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from model.engine.futures import results, wait
from model.engine.result_future import ResultFuture
from model.engine.sequence import SequenceResult
from model.errors import QueueFullError
from model.preprocessing import PreparedText
from model.time_slices import values
from model.translation import Translation

__all__ = ["TextStream"]


@dataclass(frozen=True, kw_only=True)
class _InFlight:
    """A text on its way through the engine."""

    text: PreparedText
    futures: list[ResultFuture[SequenceResult]]

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.futures)


class TextStream:
    """The texts of one call.

    Args:
        prepare: makes segments of a text, whose number comes before it.
        submit: queues them.
        assemble: makes a translation of the results, after a None for each step towards it.
        cancel: gives up what is not done.
    """

    def __init__(
        self,
        prepare: Callable[[int, str], list[PreparedText]],
        submit: Callable[[list[PreparedText]], list[ResultFuture[SequenceResult]]],
        assemble: Callable[
            [list[PreparedText], list[SequenceResult]], Iterator[Translation | None]
        ],
        cancel: Callable[[Iterable[ResultFuture[SequenceResult]]], None],
    ) -> None:
        self._prepare = prepare
        self._submit = submit
        self._assemble = assemble
        self._cancel = cancel
        self._in_flight: deque[_InFlight] = deque()

    def translations(self, texts: Iterable[str], window: int) -> Iterator[Translation]:
        """Each text's, with at most `window` of them in flight."""
        in_flight = self._in_flight
        try:
            for number, text in enumerate(texts):
                in_flight.append(self._launch(self._prepare(number, text)))
                while in_flight and (len(in_flight) >= window or in_flight[0].done):
                    yield self._land()
            while in_flight:
                yield self._land()
        finally:
            self._cancel(future for item in in_flight for future in item.futures)

    def _launch(self, prepared: list[PreparedText]) -> _InFlight:
        """Submits one text, once the engine's queue has room for it."""
        while True:
            try:
                return _InFlight(text=prepared[0], futures=self._submit(prepared))
            except QueueFullError:
                oldest = next((item for item in self._in_flight if not item.done), None)
                if oldest is None:
                    raise  # it is not this stream that fills the queue
                wait(oldest.futures)

    def _land(self) -> Translation:
        """Waits for the oldest text; it stays in flight until it has arrived."""
        oldest = self._in_flight[0]
        wait(oldest.futures)
        [translation] = values(self._assemble([oldest.text], results(oldest.futures)))
        self._in_flight.popleft()
        return translation
