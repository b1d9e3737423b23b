"""Results that come when a runner has gone on already, handed out on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from model.engine.runner import PendingResults

__all__ = ["Deliveries"]


class Deliveries:
    """A queue of results, and the thread that waits for them in the order in which they came.

    Args:
        deliver: what is called there, for each; it handles its own errors.
    """

    def __init__(self, deliver: Callable[[PendingResults], None]) -> None:
        self._deliver = deliver
        self._queue: SimpleQueue[PendingResults | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._ended = False

    def put(self, results: PendingResults) -> None:
        """Has them delivered; the thread begins with the first."""
        with self._lock:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(
                    target=self._work, name="polyhead-results", daemon=True
                )
                self._thread.start()
        self._queue.put(results)

    def end(self) -> None:
        """Lets the thread end when it has delivered what was put before. More than once is
        harmless."""
        with self._lock:
            self._ended = True
        self._queue.put(None)

    def join(self) -> None:
        """Waits for the end of the thread, unless it is this one."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while (results := self._queue.get()) is not None:
            self._deliver(results)
