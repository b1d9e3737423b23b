"""Results that come when a runner has gone on already, handed out on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from model.engine.runner import PendingResults

__all__ = ["MOST_PENDING", "Deliveries"]

MOST_PENDING = 16
"""Results at a time that have not been handed out: each keeps memory of the host, and who waits
for them is counted nowhere else."""


class Deliveries:
    """A queue of results, and the thread that waits for them in the order in which they came.

    Args:
        deliver: what is called there, for each; it handles its own errors.
    """

    def __init__(self, deliver: Callable[[PendingResults], None]) -> None:
        self._deliver = deliver
        # Whoever owns the engine may be collected, and end this, within any call of it: all that is
        # waited for here can be entered again by the thread that is within already.
        self._queue: SimpleQueue[PendingResults | None] = SimpleQueue()
        self._places: SimpleQueue[None] = SimpleQueue()
        """One for each that may still be put."""
        for _ in range(MOST_PENDING):
            self._places.put(None)
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._ended = False

    def put(self, results: PendingResults) -> None:
        """Has them delivered; the thread begins with the first.

        Waits while MOST_PENDING are undelivered. After the end nothing is delivered any more.
        """
        self._places.get()
        with self._lock:
            if self._ended:
                self._places.put(None)  # for the next one who waits
                return
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="polyhead-results", daemon=True)
                thread.start()
                self._thread = thread
        self._queue.put(results)

    def end(self) -> None:
        """Lets the thread end when it has delivered what was put before. More than once is
        harmless."""
        with self._lock:
            self._ended = True
        self._queue.put(None)
        self._places.put(None)

    def join(self) -> None:
        """Waits for the end of the thread, unless it is this one."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while self._deliver_next():
            pass

    def _deliver_next(self) -> bool:
        """False at the end; while it waits for the next ones, nothing holds those before."""
        results = self._queue.get()
        if results is None:
            return False
        self._deliver(results)
        self._places.put(None)
        return True
