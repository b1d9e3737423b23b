"""Overloads that never took place, for tests of what is said about them."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.overload.exchange import Exchange
from loadtests.open_loop.overload.figures import Overload, Phase, PhaseName

KIND = "/v1/translate (sentence)"


def answered(planned: float, seconds: float = 0.1, *, delay: float = 0.0) -> Exchange:
    """Sent `delay` after its time, and answered rightly `seconds` after that."""
    sent = planned + delay
    return Exchange(kind=KIND, planned=planned, sent=sent, ended=sent + seconds, status=200)


def not_answered(
    planned: float, status: int, seconds: float = 0.01, *, has_retry_after: bool = False
) -> Exchange:
    """Ended with this status; 0 is no answer."""
    return Exchange(
        kind=KIND, planned=planned, sent=planned, ended=planned + seconds, status=status,
        fault=f"the status must be 200, but is {status}", has_retry_after=has_retry_after,
    )  # fmt: skip


def evenly(began: float, ended: float, rate: int) -> list[float]:
    """Times, so many a second."""
    return [began + number / rate for number in range(round((ended - began) * rate))]


def overload_of(exchanges: list[Exchange], **changes: Any) -> Overload:
    """A search up to 10 s, 10 s before, 10 s of overload, 10 s after; a peak of 100."""
    names = (PhaseName.SEARCH, PhaseName.BEFORE, PhaseName.OVERLOAD, PhaseName.AFTER)
    rates = (100.0, 25.0, 300.0, 25.0)
    phases = [
        Phase(name=name, rate=rate, began=10.0 * number, ended=10.0 * (number + 1))
        for number, (name, rate) in enumerate(zip(names, rates, strict=True))
    ]
    values: dict[str, Any] = {
        "exchanges": exchanges, "phases": phases, "elapsed": 40.0, "peak": 100.0,
        "peak_is_known": True, "deadline": None, "generator_cpu": 0.1,
    }  # fmt: skip
    return Overload(**values | changes)


def usual() -> list[Exchange]:
    """95 right answers a second and 200 refusals in the overload, and two slow seconds after it."""
    return [
        *(answered(t) for t in evenly(10, 20, 20)),
        *(answered(t, 0.5) for t in evenly(20, 30, 95)),
        *(not_answered(t, 503, has_retry_after=True) for t in evenly(20, 30, 200)),
        *(answered(t, 0.5) for t in evenly(30, 32, 20)),
        *(answered(t) for t in evenly(32, 40, 20)),
    ]
