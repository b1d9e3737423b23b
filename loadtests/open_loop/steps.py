"""How a service does at one rate after another, and up to which one it keeps up: the knee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.profiles import Profile
from loadtests.report import rounded

__all__ = [
    "LEAST_GOODPUT",
    "find_knee",
    "holds",
    "is_saturated",
    "latency_limit",
    "num_settled",
    "steps_of",
]

LEAST_GOODPUT = 0.95
"""Share of the requests of a step that holds which are answered, and rightly."""
_SLOWDOWN = 5.0
"""Over the first step. In the simplest queue (Poisson arrivals, exponential service, one server)
any percentile of the latency is 1 / (1 - load) times that of an idle one: five times at 80 %."""
_SETTLE_SECONDS = 3.0
"""After a step, before it is judged while the test runs: its last answers are on their way."""
_MISSES = 2
"""This many steps in a row that do not hold end the search: one may have had bad luck."""

Step = dict[str, Any]
"""The figures of a stretch of the test at one rate, as the line of JSON has them."""


def steps_of(exchanges: Exchanges, profile: Profile, *, until: float) -> list[Step]:
    """The steps of a profile that were over `until` seconds after the beginning.

    A request belongs to the step it was planned for, a right answer counts in the throughput of
    the step in which it came.
    """
    found = []
    for began, ended in profile.steps:
        if ended > until:
            break
        planned = exchanges.planned_between(began, ended)
        seconds = ended - began
        found.append(
            {
                "began": began,
                "ended": ended,
                "offered": rounded(len(planned) / seconds),
                "throughput": rounded(exchanges.answered_between(began, ended) / seconds),
                "goodput": round(float(planned.right.mean()), 4) if len(planned) else 0.0,
                **planned.figures(),
            }
        )
    return found


def latency_limit(steps: Sequence[Step], wanted: float | None) -> float | None:
    """Milliseconds that the p95 of a step may be.

    Args:
        wanted: what the user says; None takes five times the p95 of the first step.

    Returns:
        None if nobody has said and the first step has no answers.
    """
    first = steps[0]["p95_ms"] if steps else None
    return wanted if wanted is not None or first is None else rounded(_SLOWDOWN * first)


def holds(step: Step, limit: float | None) -> bool:
    """Whether the service kept up: its goodput, and a p95 of at most `limit` milliseconds."""
    p95 = step["p95_ms"]
    in_time = p95 is not None and limit is not None and p95 <= limit
    return in_time and step["goodput"] >= LEAST_GOODPUT


def find_knee(steps: Sequence[Step], limit: float | None) -> dict[str, Any] | None:
    """The highest step that holds, of those before the first two in a row that do not.

    Returns:
        None if there were no steps, or even the first ones did not hold. `saturated` is false if
        the service still kept up at the highest rate: then its knee lies beyond.
    """
    held: Step | None = None
    misses = 0
    for step in steps:
        misses = 0 if holds(step, limit) else misses + 1
        if misses == _MISSES:
            break
        if not misses and (held is None or step["offered"] > held["offered"]):
            held = step
    if held is None:
        return None
    return {name: held[name] for name in ("offered", "throughput", "p95_ms")} | {
        "saturated": misses > 0
    }


def num_settled(profile: Profile, elapsed: float) -> int:
    """How many steps can be judged `elapsed` seconds after the beginning of a running test."""
    return sum(ended <= elapsed - _SETTLE_SECONDS for _, ended in profile.steps)


def is_saturated(
    exchanges: Exchanges, profile: Profile, wanted: float | None, *, elapsed: float
) -> bool:
    """Whether a test that is running has found the knee, so that higher steps add nothing."""
    steps = steps_of(exchanges, profile, until=elapsed - _SETTLE_SECONDS)
    limit = latency_limit(steps, wanted)
    last = steps[-_MISSES:]
    return len(last) == _MISSES and not any(holds(step, limit) for step in last)
