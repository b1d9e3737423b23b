"""Records of load tests that never took place, for tests of what is said about them."""

from __future__ import annotations

from typing import Any

from loadtests.bench.machine import Hardware
from loadtests.open_loop.load import Ending
from loadtests.open_loop.memory import Memory
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.record import Record
from loadtests.open_loop.result import Result

KIND = "/v1/translate (sentence)"
HARDWARE = Hardware(
    cpu="a <CPU>", cpu_flags=(), cores=2, cores_of_machine=2, memory_bytes=2**30, gpus=()
)


def recorded(*seconds: tuple[int, float], failed: int = 0, unsent: int = 0) -> Record:
    """One pair for each second: right answers, and how many seconds each took.

    `failed` and `unsent` requests come on top, in the first second.
    """
    record = Record(elapsed=float(len(seconds)))
    for second, (count, latency) in enumerate(seconds):
        for number in range(count):
            planned = second + number / count
            record.plan(KIND, second)
            record.send(0.001)
            record.answer(KIND, planned, planned + latency, None)
    for _ in range(failed):
        record.plan(KIND, 0)
        record.answer(KIND, 0.0, 0.1, "the status must be 200, but is 500")
    for _ in range(unsent):
        record.plan(KIND, 0)
        record.leave_unsent(KIND, 0)
    return record


def result_of(
    record: Record,
    *,
    ending: Ending = Ending.COMPLETE,
    overload: Overload | None = None,
    profile: Profile | None = None,
    memory: Memory | None = None,
    **options: Any,
) -> Result:
    """A result with this record; options as `LoadTestOptions` takes them."""
    wanted = LoadTestOptions(**{"profile_name": "constant", "url": "http://a.test"} | options)
    return Result(
        options=wanted,
        profile=profile or wanted.profile,
        record=record,
        overload=overload,
        memory=memory,
        ending=ending,
        model="en-de",
        hardware=HARDWARE,
        versions={"locust": "2"},
        commit="0123456789",
        started="2026-01-02T03:04:05+00:00",
    )
