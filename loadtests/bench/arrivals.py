"""Requests that come when they come: an open loop, and a server for those who translate batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

__all__ = ["serve_in_batches", "submit_on_time"]

_LEAD = 0.01
"""Seconds between setting the clock and the start, so that the first arrival is not late."""


def submit_on_time(arrivals: Sequence[float], submit: Callable[[int], None]) -> float:
    """Calls `submit(i)` at the i-th arrival, whether or not earlier ones were answered.

    Args:
        arrivals: seconds from the start, ascending.

    Returns:
        The start, in `time.perf_counter()` seconds: who is late counts from the arrival all the
        same.
    """
    start = time.perf_counter() + _LEAD
    for index, arrival in enumerate(arrivals):
        delay = start + arrival - time.perf_counter()
        if delay > 0:
            time.sleep(delay)
        submit(index)
    return start


def serve_in_batches(
    translate: Callable[[list[int]], object],
    arrivals: Sequence[float],
    *,
    num_workers: int,
    most: int,
) -> list[float]:
    """The simplest fair server: one queue, and a worker that is free takes all that waits in it.

    Args:
        translate: translates the sources with these indices; called on `num_workers` threads.
        arrivals: (N,) seconds from the start, ascending.
        most: most sources of one batch.

    Returns:
        (N,) seconds from each arrival to the end of its batch.
    """
    changed = threading.Condition()
    waiting: deque[int] = deque()
    ended = False
    finished = [0.0] * len(arrivals)

    def work() -> None:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                batch = [waiting.popleft() for _ in range(min(most, len(waiting)))]
            if not batch:
                return
            translate(batch)
            now = time.perf_counter()
            for index in batch:
                finished[index] = now

    def arrive(index: int) -> None:
        with changed:
            waiting.append(index)
            changed.notify()

    with ThreadPoolExecutor(num_workers) as pool:
        workers = [pool.submit(work) for _ in range(num_workers)]
        start = submit_on_time(arrivals, arrive)
        with changed:
            ended = True
            changed.notify_all()
        for worker in workers:
            worker.result()
    return [end - start - arrival for end, arrival in zip(finished, arrivals, strict=True)]
