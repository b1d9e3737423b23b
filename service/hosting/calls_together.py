"""Calls that have come together, each of which is worked on for itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from model.errors import PolyheadError
from service.protocol import CallOutcome, TranslateCall, TranslateReply

__all__ = ["CallsTogether"]

LOGGER = logging.getLogger("polyhead.replica")


class CallsTogether:
    """Works on batches of calls. Belongs to one event loop.

    Args:
        translate: works on one call.
    """

    def __init__(self, translate: Callable[[TranslateCall], Awaitable[TranslateReply]]) -> None:
        self._translate = translate
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        """By the id of the batch."""

    async def outcomes(
        self, batch: str, calls: Sequence[TranslateCall]
    ) -> AsyncGenerator[tuple[CallOutcome, ...]]:
        """What became of the calls: of those that have ended since the last time, in any order;
        nothing of those that were given up.

        Args:
            batch: an id that no other batch has.
            calls: of one model.
        """
        changed = asyncio.Event()
        ended: list[CallOutcome] = []

        async def work(number: int, call: TranslateCall) -> None:
            ended.append(await self._outcome(number, call))

        tasks = [asyncio.create_task(work(*each)) for each in enumerate(calls)]
        for task in tasks:  # not in `work`, which never runs if it is given up before
            task.add_done_callback(lambda _: changed.set())
        self._tasks[batch] = tasks
        try:
            while ended or not all(task.done() for task in tasks):
                await changed.wait()
                changed.clear()
                now, ended[:] = tuple(ended), ()
                if now:
                    yield now
        finally:
            del self._tasks[batch]
            for task in tasks:
                task.cancel()

    def give_up(self, batch: str, number: int) -> None:
        """Cancels the work on one call of a batch, if it has not ended."""
        if tasks := self._tasks.get(batch):
            tasks[number].cancel()

    async def _outcome(self, number: int, call: TranslateCall) -> CallOutcome:
        try:
            return CallOutcome(number, reply=await self._translate(call))
        except PolyheadError as error:
            return CallOutcome(number, error=error)
        except Exception as error:  # anything, also what cannot be sent
            LOGGER.exception("a call failed")
            name = type(error).__name__
            return CallOutcome(number, error=RuntimeError(f"a replica raised {name}"))
