"""How a service does at one rate after another, and up to which one it keeps up: the knee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.profiles import Profile

__all__ = [
    "LEAST_GOODPUT",
    "Knee",
    "Step",
    "find_knee",
    "is_saturated",
    "latency_limit",
    "steps_of",
]

LEAST_GOODPUT = 0.95
"""Of the requests of a step that holds, this share is answered, and rightly."""
_SLOWDOWN = 5.0
"""Over the first step. In the simplest queue (Poisson arrivals, exponential service, one server)
any percentile of the latency is 1 / (1 - load) times that of an idle one: five times at 80 %."""
_SETTLE_SECONDS = 3.0
"""After a step, before it is judged while the test runs: its last answers are on their way."""
_MISSES = 2
"""This many steps in a row that do not hold end the search: one may have had bad luck."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stretch of the test at one rate, or close to it."""

    began: int
    """Seconds since the beginning of the test."""
    ended: int
    exchanges: Exchanges
    """The requests that were planned for it."""
    answered: int
    """Right answers that came in it, whenever they were planned."""

    @property
    def offered(self) -> float:
        """Requests a second that were planned."""
        return len(self.exchanges) / (self.ended - self.began)

    @property
    def throughput(self) -> float:
        """Right answers a second."""
        return self.answered / (self.ended - self.began)

    @property
    def goodput(self) -> float:
        """Share of the planned requests that were answered rightly, in the end."""
        return float(self.exchanges.right.mean()) if len(self.exchanges) else 0.0

    def holds(self, limit: float | None) -> bool:
        """Whether the service kept up: its goodput, and a p95 of at most `limit` seconds."""
        p95 = self.exchanges.latency(0.95)
        in_time = p95 is not None and limit is not None and p95 <= limit
        return in_time and self.goodput >= LEAST_GOODPUT


@dataclass(frozen=True, kw_only=True)
class Knee:
    """The highest step that holds, of those before the first two in a row that do not."""

    step: Step
    saturated: bool
    """False if the service still kept up at the highest rate: then its knee lies beyond."""


def steps_of(exchanges: Exchanges, profile: Profile, *, until: float) -> list[Step]:
    """The steps of a profile that were over `until` seconds after the beginning."""
    return [
        Step(
            began=began,
            ended=ended,
            exchanges=exchanges.planned_between(began, ended),
            answered=exchanges.answered_between(began, ended),
        )
        for began, ended in profile.steps
        if ended <= until
    ]


def latency_limit(steps: Sequence[Step], wanted: float | None) -> float | None:
    """Seconds that the p95 of a step may be.

    Args:
        wanted: what the user says; None takes five times the p95 of the first step.

    Returns:
        None if nobody has said and the first step has no answers.
    """
    if wanted is not None:
        return wanted
    first = steps[0].exchanges.latency(0.95) if steps else None
    return None if first is None else _SLOWDOWN * first


def find_knee(steps: Sequence[Step], limit: float | None) -> Knee | None:
    """The knee; None if there were no steps, or even the first ones did not hold."""
    held, misses = None, 0
    for step in steps:
        holds = step.holds(limit)
        misses = 0 if holds else misses + 1
        if misses == _MISSES:
            break
        if holds and (held is None or step.offered > held.offered):
            held = step
    return None if held is None else Knee(step=held, saturated=misses > 0)


def is_saturated(
    exchanges: Exchanges, profile: Profile, wanted: float | None, *, elapsed: float
) -> bool:
    """Whether a test that is running has found the knee, so that higher steps add nothing."""
    steps = steps_of(exchanges, profile, until=elapsed - _SETTLE_SECONDS)
    limit = latency_limit(steps, wanted)
    last = steps[-_MISSES:]
    return len(last) == _MISSES and not any(step.holds(limit) for step in last)
