"""The end of this process and of all it started, when a stop signal does not lead to it in time.

A signal's Python handler runs when the main thread next runs Python code, and what it raises may be
lost there: in C, in a callback, in a finalizer. The kernel's handler writes to a pipe at once.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Iterator

import psutil

from service.launcher.local_ray import descendants

__all__ = ["STOP_SIGNALS", "forced_stop"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def forced_stop(seconds: float) -> Iterator[None]:
    """Kills all this process started, and ends it, where it does not end by itself.

    That is `seconds` after the first of `STOP_SIGNALS`, or at once at the second, if the `with`
    block has not ended by then; the status is 128 plus the signal's number. Only signals with a
    Python handler count. To be entered in the main thread.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(read_end, seconds), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write_end)
        watch.join()
        os.close(read_end)


def _watch(read_end: int, seconds: float) -> None:
    number = 0
    deadline: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(read_end, selectors.EVENT_READ)
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not selector.select(wait):
                _end(number)
            signals = os.read(read_end, 1)
            if not signals:  # the block has ended
                return
            if signals[0] not in STOP_SIGNALS:
                continue
            number = signals[0]
            if deadline is not None:
                _end(number)
            deadline = time.monotonic() + seconds


def _end(number: int) -> None:
    for process in descendants():
        with contextlib.suppress(psutil.Error):
            process.kill()
    os._exit(128 + number)
