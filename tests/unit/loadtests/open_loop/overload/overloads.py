"""Overloads that never took place, for tests of what is said about them."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop.exchanges import Exchange, Exchanges
from loadtests.open_loop.overload.figures import Overload, Phase, PhaseName
from tests.unit.loadtests.open_loop.results import answered, evenly, not_answered


def overload_of(rows: list[Exchange], **changes: Any) -> Overload:
    """Phases of 10 s: a search, before, the peak, overload, after."""
    rates = {
        PhaseName.SEARCH: 100.0, PhaseName.BEFORE: 25.0, PhaseName.PEAK: 110.0,
        PhaseName.OVERLOAD: 300.0, PhaseName.AFTER: 25.0,
    }  # fmt: skip
    phases = [
        Phase(name=name, rate=rate, began=10.0 * number, ended=10.0 * (number + 1))
        for number, (name, rate) in enumerate(rates.items())
    ]
    values: dict[str, Any] = {
        "exchanges": Exchanges(rows), "phases": phases,
        "peak_is_known": True, "deadline": None, "generator_cpu_seconds": 1.0,
    }  # fmt: skip
    return Overload(**values | changes)


def usual() -> list[Exchange]:
    """100 right answers a second at the peak, 95 and 200 refusals in the overload, and two slow
    seconds after it."""
    return [
        *(answered(t) for t in evenly(10, 20, 20)),
        *(answered(t, 0.5) for t in evenly(20, 30, 100)),
        *(answered(t, 0.5) for t in evenly(30, 40, 95)),
        *(not_answered(t, 503, has_retry_after=True) for t in evenly(30, 40, 200)),
        *(answered(t, 0.5) for t in evenly(40, 42, 20)),
        *(answered(t) for t in evenly(42, 50, 20)),
    ]
