"""The misbehaving clients of one profile, and what they got."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
import statistics
import threading
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from loadtests.corpus import LoadTestError
from loadtests.misbehaviour.connection import Connection
from loadtests.misbehaviour.profiles import PROFILES, Crowd, GoOn, Limits, Profile

__all__ = ["Outcomes", "Plan", "allow_open_files", "attack", "end_with_parent", "misbehave"]

_SPARE_FILES = 200
_ANSWER_SECONDS = 5.0
"""For an answer at the deadline to arrive."""
Outcomes = dict[str, dict[str, Any]]
"""How connections ended: the status of an answer, "closed" by the server, "left" by the client,
"open" beyond its limit, or "no connection"; for each how many did, and after how many seconds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how hard, the same for all profiles."""

    rate: float = 8.0
    """Requests a second of the well-behaved client; every other one opens a connection."""
    alone: float = 10.0
    """Seconds without the others, before and after them."""
    seconds: float = 20.0
    """For which the others open connections."""
    hold: float = 75.0
    """Seconds in which the server must have ended a connection."""
    deadline: float = 120.0
    """Seconds in which the server answers what it permits."""
    noise_ms: float = 50.0
    """By which the p95 may always grow."""
    seed: int = 4
    """Draws the requests of the well-behaved client."""


def allow_open_files(profile: Profile) -> None:
    """Raises this process's limit to what the profile needs; LoadTestError if it may not."""
    needed = sum(crowd.connections for crowd in profile.crowds) + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < needed:
        raise LoadTestError(f"{needed} open files must be allowed, but the hard limit is {hard}")
    if resource.RLIM_INFINITY != soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def end_with_parent() -> None:
    """Ends this process as soon as the one that has started it is gone: no attack goes on alone."""

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def attack(name: str, url: str, limits: Limits, plan: Plan) -> Outcomes:
    """Misbehaves as the profile of that name, in a process that does nothing else."""
    allow_open_files(PROFILES[name])
    return asyncio.run(misbehave(PROFILES[name], url, limits, plan))


async def misbehave(profile: Profile, url: str, limits: Limits, plan: Plan) -> Outcomes:
    """Opens connections for a while, then waits until the last of them has ended.

    One that the server has not ended in its time counts as open, and is closed.
    """
    at, hold = urlsplit(url), profile.limit_seconds or plan.hold
    if profile.is_work:
        hold = max(hold, plan.deadline + _ANSWER_SECONDS)
    until = monotonic() + plan.seconds
    found: dict[str, list[float]] = defaultdict(list)

    async def repeat(crowd: Crowd) -> None:
        while True:
            began = monotonic()
            connection = Connection(at.hostname or "", at.port or 80, crowd.receive_buffer)
            drawn = crowd.request
            request = drawn(limits) if callable(drawn) else random.choice(drawn)
            outcome = await _one(connection, request, crowd.go_on, hold)
            found[outcome].append(monotonic() - began)
            if monotonic() + crowd.pause >= until:
                return
            await asyncio.sleep(crowd.pause)

    async with asyncio.TaskGroup() as group:
        for crowd in profile.crowds:
            for _ in range(crowd.connections):
                group.create_task(repeat(crowd))
    return {
        outcome: {
            "connections": len(times),
            "median_seconds": round(statistics.median(times), 2),
            "longest_seconds": round(max(times), 2),
        }
        for outcome, times in sorted(found.items())
    }


async def _one(connection: Connection, request: bytes, go_on: GoOn, hold: float) -> str:
    """How a connection ended."""
    try:
        async with connection:
            try:
                async with asyncio.timeout(hold):
                    await connection.send(request)
                    return await go_on(connection)
            except TimeoutError:
                return "closed" if await connection.has_ended() else "open"
    except OSError:
        return "closed" if connection.is_open else "no connection"
