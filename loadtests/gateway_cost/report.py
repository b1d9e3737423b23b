"""What was measured, as tables for people and as one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtests.bench.figures import Spread, ratio
from loadtests.gateway_cost.benchmark import Measurement, Result
from loadtests.gateway_cost.options import Front
from loadtests.report import as_table

__all__ = ["as_json_line", "as_tables", "notes", "ratios"]

SCHEMA = 1
_COMPARED = (
    (Front.PYTHON_PROXY, Front.HAPROXY),
    (Front.HAPROXY, Front.ALONE),
    (Front.ALONE, Front.BARE),
)
"""Whose cost is told as a multiple of whose."""
_NEGLIGIBLE_MS = 0.005


def ratios(result: Result) -> dict[str, Spread]:
    """Core-milliseconds a request of the first over those of the second, round by round.

    Keys are `FIRST-over-SECOND@CLIENTS`.
    """
    costs = {(m.front, m.clients): m.figures["core_ms"].rounds for m in result.measurements}
    return {
        f"{more}-over-{less}@{clients}": ratio(costs[more, clients], costs[less, clients])
        for clients in result.options.clients
        for more, less in _COMPARED
        if {more, less} <= set(result.options.fronts)
    }


def notes(result: Result) -> list[str]:
    """What whoever reads the figures must know."""
    found = []
    if result.options.rounds < 3:
        found.append("fewer than 3 rounds: do not compare with these ratios")
    for m in result.measurements:
        if m.reconnections:
            found.append(
                f"{m.front}, {_title(m.clients)}: connections were closed {m.reconnections} times"
            )
    for front, busy in result.idle_cpu.items():
        found.append(f"{front} used {busy:.1%} of a CPU while others had their turn")
    return found


def as_json_line(result: Result) -> str:
    """One object; cores are counted in milliseconds a request."""
    compared = ratios(result)
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "ratios": {key: round(spread.median, 4) for key, spread in compared.items()},
        "ratio_rounds": {key: spread.rounds for key, spread in compared.items()},
        "fronts": result.options.fronts,
        "clients": result.options.clients,
        "rounds": result.options.rounds,
        "turn_seconds": result.options.seconds,
        "measurements": [asdict(measurement) for measurement in result.measurements],
        "idle_cpu": result.idle_cpu,
        "notes": notes(result),
        **result.conditions,
        "seconds": round(result.seconds, 1),
    }
    return json.dumps(values, ensure_ascii=False)


def as_tables(result: Result) -> str:
    """For each number of clients what was seen and where the time went; then ratios and notes."""
    hardware = result.conditions["hardware"]
    parts = [
        f"{hardware['cores']} of {hardware['cores_of_machine']} CPUs ({hardware['cpu']}), "
        f"{result.options.rounds} rounds of {result.options.seconds:g} s; medians of the rounds.\n"
        "Core-milliseconds a request are those of all server processes; the load generator, which "
        "shares the CPUs, is counted apart."
    ]
    for clients in result.options.clients:
        group = [m for m in result.measurements if m.clients == clients]
        parts += [_seen(clients, group), _by_kind(clients, group)]
    if compared := ratios(result):
        rows = [
            [key, f"{s.median:.2f}", f"{s.min:.2f} to {s.max:.2f}"] for key, s in compared.items()
        ]
        parts.append(as_table((["core-ms", "median", "rounds"], rows)))
    parts.append("\n".join(f"Note: {note}." for note in notes(result)))
    return "\n\n".join(parts)


def _seen(clients: int, group: Sequence[Measurement]) -> str:
    names = list(group[0].figures)
    header = [_title(clients), *[name.replace("_", " ") for name in names], "requests"]
    rows = [
        [m.front, *[_spread(m.figures[name]) for name in names], str(m.requests)] for m in group
    ]
    return as_table((header, rows))


def _by_kind(clients: int, group: Sequence[Measurement]) -> str:
    """The dearest kind of process first."""
    most: dict[str, float] = {}
    for m in group:
        for kind, cost in m.core_ms_by_kind.items():
            most[kind] = max(most.get(kind, 0.0), cost.median)
    rows = [
        [kind, *[_cost(m, kind) for m in group]]
        for kind in sorted(most, key=lambda kind: -most[kind])
        if most[kind] >= _NEGLIGIBLE_MS
    ]
    return as_table(([f"{_title(clients)}, core ms of", *[m.front for m in group]], rows))


def _title(clients: int) -> str:
    return f"{clients} client" + ("" if clients == 1 else "s")


def _cost(measurement: Measurement, kind: str) -> str:
    cost = measurement.core_ms_by_kind.get(kind)
    return "" if cost is None else f"{cost.median:.2f}"


def _spread(spread: Spread) -> str:
    digits = 0 if spread.median >= 100 else 2
    median, low, high = (f"{v:,.{digits}f}" for v in (spread.median, spread.min, spread.max))
    return f"{median} ({low} to {high})"
