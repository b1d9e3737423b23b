"""Futures of several sequences of an engine, waited for together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from model.engine.result_future import ResultFuture, call_when_settled, results, wait
from model.engine.sequence import SequenceResult

__all__ = ["results", "settled", "wait"]


async def settled(futures: Sequence[ResultFuture[SequenceResult]]) -> None:
    """`wait` for an event loop, which is woken once, and not for every sentence."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            loop.call_soon_threadsafe(done.set)

    call_when_settled(futures, wake)
    await done.wait()
