"""The server of batches: everybody is served once, and errors come out."""

from __future__ import annotations

import threading

import pytest

from loadtests.bench.contender import serve_in_batches, submit_on_time


def test_everybody_is_served_once_in_batches() -> None:
    served: list[list[int]] = []
    latencies = serve_in_batches(served.append, [0.0] * 50, num_workers=3, most=8)
    assert sorted(index for batch in served for index in batch) == list(range(50))
    assert max(map(len, served)) <= 8
    assert len(latencies) == 50
    assert min(latencies) > 0


def test_a_worker_that_is_free_takes_all_that_waits() -> None:
    all_here = threading.Event()
    served: list[list[int]] = []

    def translate(batch: list[int]) -> None:
        served.append(batch)
        # The first batch is under way until the last one has arrived.
        assert all_here.wait(timeout=30)

    class Arrivals(list[float]):
        """Says when the last one has been handed out."""

        def __iter__(self):  # type: ignore[no-untyped-def]
            yield from super().__iter__()
            all_here.set()

    serve_in_batches(translate, Arrivals([0.0] * 20), num_workers=1, most=64)
    assert len(served) <= 3
    assert [index for batch in served for index in batch] == list(range(20))


def test_an_error_ends_the_run() -> None:
    def translate(batch: list[int]) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        serve_in_batches(translate, [0.0] * 4, num_workers=1, most=1)


def test_who_is_late_counts_from_the_arrival() -> None:
    called: list[int] = []
    start = submit_on_time([0.0, 0.0, 1e-9], called.append)
    assert called == [0, 1, 2]
    assert start > 0
    before = serve_in_batches(lambda batch: None, [0.0], num_workers=1, most=1)
    assert before[0] >= 0
