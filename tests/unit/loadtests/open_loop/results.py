"""Load tests that never took place, for tests of what is said about them."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.exchanges import Exchange, Exchanges
from loadtests.open_loop.figures import Result
from loadtests.open_loop.generator import Ending
from loadtests.open_loop.options import LoadTestOptions

KIND = "/v1/translate (sentence)"
CONDITIONS = {
    "hardware": {"cpu": "a <CPU>", "cores": 2},
    "versions": {"numpy": "2"},
    "commit": "0123456789",
    "started": "2026-01-02T03:04:05+00:00",
}


def answered(planned: float, seconds: float = 0.1, *, delay: float = 0.0) -> Exchange:
    """Sent `delay` after its time, and answered rightly `seconds` after that."""
    sent = planned + delay
    return Exchange(kind=KIND, planned=planned, sent=sent, ended=sent + seconds, status=200)


def not_answered(
    planned: float, status: int = 500, seconds: float = 0.01, *, has_retry_after: bool = False
) -> Exchange:
    """Ended with this status; 0 is no answer."""
    return answered(planned, seconds)._replace(
        status=status,
        fault=f"the status must be 200, but is {status}",
        has_retry_after=has_retry_after,
    )


def unsent(planned: float) -> Exchange:
    """Found no place in flight within a second."""
    return Exchange(kind=KIND, planned=planned, ended=planned + 1.0)


def evenly(began: float, ended: float, rate: int) -> list[float]:
    """Times, so many a second."""
    return [began + number / rate for number in range(round((ended - began) * rate))]


def recorded(*seconds: tuple[int, float], more: list[Exchange] | None = None) -> Exchanges:
    """Right answers: for each second their number, and how many seconds each took; and others."""
    rows = [
        answered(planned, latency)
        for second, (count, latency) in enumerate(seconds)
        for planned in evenly(second, second + 1, count)
    ]
    return Exchanges([*rows, *(more or [])])


def result_of(exchanges: Exchanges, **changes: Any) -> Result:
    """A result with these requests; other parts of it, and options, may be given by name."""
    parts = {name: changes.pop(name) for name in list(changes) if name in Result.__annotations__}
    wanted = LoadTestOptions(**{"profile_name": "constant", "url": "http://a.test"} | changes)
    values: dict[str, Any] = {
        "options": wanted,
        "exchanges": exchanges,
        "elapsed": float(int(exchanges.planned.max())) + 1.0,
        "ending": Ending.COMPLETE,
        "model": "en-de",
        "conditions": CONDITIONS,
    }
    if "profile" not in parts:
        values["profile"] = wanted.profile
    return Result(**values | parts)
