"""Who may compute: as many workers of a process at a time as it has CPUs, of whatever engine."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from model.engine.cpus import granted_cpus

__all__ = ["CpuPlaces", "places_of_process"]

_SLICE_SECONDS = 0.01
"""After which one who computes is interrupted for one who waits."""


class CpuPlaces:
    """A number of places, which are taken in the order in which they are asked for.

    More threads than CPUs would stop each other in the middle of a step, and in a cgroup with a
    quota all of them for the rest of a period.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._num_free = count
        self._taken: dict[object, tuple[float, Callable[[], None]]] = {}
        """Those who compute: since when, the longest first, and how each is interrupted."""
        self._waiting: deque[tuple[threading.Event, Callable[[], None]]] = deque()

    @contextmanager
    def place(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Waits for a place, which is free again when the `with` ends.

        Args:
            interrupt: has the caller come to an end, since others wait; called on any thread while
                it has the place. It must return at once.
        """
        own: object = object()
        turn: threading.Event | None = None
        with self._lock:
            if self._num_free:
                self._num_free -= 1
                self._taken[own] = time.monotonic(), interrupt
            else:
                own = turn = threading.Event()
                self._waiting.append((turn, interrupt))
        try:
            while turn is not None and not turn.wait(_SLICE_SECONDS):
                self._interrupt_the_first()
            yield
        finally:
            with self._lock:
                if self._taken.pop(own, None) is None and turn is not None:
                    self._waiting.remove((turn, interrupt))
                else:
                    self._pass_on()

    def _interrupt_the_first(self) -> None:
        """However many wait and call it, nobody is interrupted before its slice ends."""
        with self._lock:
            first, (since, interrupt) = next(iter(self._taken.items()))
            now = time.monotonic()
            if now - since >= _SLICE_SECONDS:
                # To the end of the line: the next who waits interrupts another one.
                del self._taken[first]
                self._taken[first] = now, interrupt
                interrupt()

    def _pass_on(self) -> None:
        """With the lock held."""
        if not self._waiting:
            self._num_free += 1
            return
        following, interrupt = self._waiting.popleft()
        self._taken[following] = time.monotonic(), interrupt
        following.set()


@cache
def places_of_process() -> CpuPlaces:
    """Those that all engines of this process share."""
    return CpuPlaces(granted_cpus())


# The threads that have places in the parent are not in the child.
os.register_at_fork(after_in_child=places_of_process.cache_clear)
