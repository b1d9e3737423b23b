"""Calls that may never come back, such as those that read from a disk on a dead network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["start_thread"]

_T = TypeVar("_T")


def start_thread(call: Callable[[], _T]) -> asyncio.Future[_T]:
    """Makes a call on a thread of its own; its result, on this event loop.

    The threads of `asyncio.to_thread` are few, and Python's end waits for them: a call that hangs
    would hold others up.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            settle(future.set_exception, error)
        else:
            settle(future.set_result, result)

    def settle(how: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop may have been closed since
            loop.call_soon_threadsafe(lambda: None if future.done() else how(value))

    threading.Thread(target=run, daemon=True).start()
    return future
