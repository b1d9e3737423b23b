"""Futures of several sequences of an engine, waited for together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from model.engine.result_future import ResultFuture, call_when_settled, wait
from model.engine.sequence import SequenceResult

__all__ = ["results", "settled", "wait"]


def results(futures: Sequence[ResultFuture[SequenceResult]]) -> list[SequenceResult]:
    """The results of settled futures; the first error in their order, if there is one."""
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in futures]


async def settled(futures: Sequence[ResultFuture[SequenceResult]]) -> None:
    """`wait` for an event loop, which is woken once, and not for every sentence."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            loop.call_soon_threadsafe(done.set)

    call_when_settled(futures, wake)
    await done.wait()
