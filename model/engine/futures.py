"""Futures of several sequences of an engine, waited for together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress

from model.engine.sequence import SequenceResult

__all__ = ["results", "settled"]


def results(futures: Sequence[Future[SequenceResult]]) -> list[SequenceResult]:
    """The results of settled futures; the first error in their order, if there is one."""
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in futures]


async def settled(futures: Sequence[Future[SequenceResult]]) -> None:
    """Returns when all futures have a result or one has an error; wakes the event loop only then.

    `asyncio.wrap_future` would wake it for every sentence.
    """
    if not futures:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    lock = threading.Lock()
    unfinished = len(futures)

    def on_done(future: Future[SequenceResult]) -> None:
        nonlocal unfinished
        with lock:
            unfinished -= 1
            last = unfinished == 0
        if last or future.cancelled() or future.exception() is not None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(done.set)

    for future in futures:
        future.add_done_callback(on_done)
    await done.wait()
