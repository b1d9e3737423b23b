"""SIGTERM as a request: who takes a machine away may wait until the work on it is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["sigterm_asks"]


@contextmanager
def sigterm_asks() -> Iterator[Callable[[], bool]]:
    """Within it the first SIGTERM ends nothing; what is yielded tells whether it has come.

    The second does what it always did. In a thread other than the main one, which may not change
    what a signal does, so does the first.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGTERM, before)

    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    signal.signal(signal.SIGTERM, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
