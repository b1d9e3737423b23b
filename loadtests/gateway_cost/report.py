"""What the turns of a run come to: the line of JSON, and tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.bench.figures import ratio, spread
from loadtests.closed_loop import Load
from loadtests.gateway_cost.contender import Front
from loadtests.report import as_table

__all__ = ["Turn", "as_tables", "figures_of"]

SCHEMA = 1
_NEGLIGIBLE_MS = 0.005
_COMPARED = (
    (Front.PYTHON_PROXY, Front.HAPROXY),
    (Front.HAPROXY, Front.ALONE),
    (Front.ALONE, Front.BARE),
)
"""Whose cost is told as a multiple of whose."""

Figures = dict[str, Any]
Turn = tuple[Load, Mapping[str, float]]
"""What the clients saw, and the CPU seconds of the servers' processes by kind."""
Turns = Mapping[tuple[Front, int], Sequence[Turn]]
"""Turns of each contender with each number of clients, one a round."""


def figures_of(turns: Turns) -> Figures:
    """What the line of JSON holds of the turns.

    Cores are counted in milliseconds a request, over all of a server's processes, and by their
    kind. Keys of `ratios` are `FIRST-over-SECOND@CLIENTS`: core-milliseconds a request of the first
    over those of the second, round by round.
    """
    measurements = [_measured(*key, taken) for key, taken in turns.items()]
    costs = {
        (one["front"], one["clients"]): one["figures"]["core_ms"]["rounds"] for one in measurements
    }
    ratios = {
        f"{more}-over-{less}@{clients}": ratio(costs[more, clients], costs[less, clients])
        for clients in dict.fromkeys(clients for _, clients in turns)
        for more, less in _COMPARED
        if (more, clients) in costs and (less, clients) in costs
    }
    return {
        "schema": SCHEMA,
        "ratios": {key: round(found["median"], 4) for key, found in ratios.items()},
        "ratio_rounds": {key: found["rounds"] for key, found in ratios.items()},
        "measurements": measurements,
    }


def _measured(front: Front, clients: int, turns: Sequence[Turn]) -> Figures:
    loads = [load for load, _ in turns]
    counts = [len(load.exchanges) for load in loads]
    told = [load.exchanges.figures() for load in loads]

    def per_request(cpu_seconds: Sequence[float]) -> list[float]:
        return [1e3 * cpu / count for cpu, count in zip(cpu_seconds, counts, strict=True)]

    figures = {
        "requests_per_second": [load.requests_per_second for load in loads],
        **{name: [one[name] for one in told] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "core_ms": per_request([sum(cpu.values()) for _, cpu in turns]),
        "generator_core_ms": per_request([load.cpu_seconds for load in loads]),
    }
    kinds = sorted({kind for _, cpu in turns for kind in cpu})
    by_kind = {kind: per_request([cpu.get(kind, 0.0) for _, cpu in turns]) for kind in kinds}
    return {
        "front": front,
        "clients": clients,
        "figures": {name: spread(values) for name, values in figures.items()},
        "core_ms_by_kind": {kind: spread(values) for kind, values in by_kind.items()},
        "requests": sum(counts),
        "reconnections": sum(load.reconnections for load in loads),
    }


def as_tables(figures: Figures) -> str:
    """For each number of clients what was seen and where the time went; then ratios and notes."""
    hardware, measurements = figures["hardware"], figures["measurements"]
    parts = [
        f"{hardware['cores']} of {hardware['cores_of_machine']} CPUs ({hardware['cpu']}); medians "
        "of the rounds.\nCore-milliseconds a request are those of all server processes; the load "
        "generator, which shares the CPUs, is counted apart."
    ]
    for clients in dict.fromkeys(one["clients"] for one in measurements):
        group = [one for one in measurements if one["clients"] == clients]
        parts += [_seen(f"{clients} clients", group), _by_kind(f"{clients} clients", group)]
    if ratios := figures["ratio_rounds"]:
        rows = [
            [key, f"{statistics.median(rounds):.2f}", f"{min(rounds):.2f} to {max(rounds):.2f}"]
            for key, rounds in ratios.items()
        ]
        parts.append(as_table((["core-ms", "median", "rounds"], rows)))
    notes = [
        f"Note: {front} used {busy:.1%} of a CPU while others had their turn."
        for front, busy in figures["idle_cpu"].items()
    ]
    return "\n\n".join([*parts, "\n".join(notes)])


def _seen(title: str, group: Sequence[Figures]) -> str:
    names = list(group[0]["figures"])
    header = [title, *(name.replace("_", " ") for name in names), "requests", "reconnections"]
    rows = [
        [
            one["front"],
            *(_spread(one["figures"][name]) for name in names),
            str(one["requests"]),
            str(one["reconnections"]),
        ]
        for one in group
    ]
    return as_table((header, rows))


def _by_kind(title: str, group: Sequence[Figures]) -> str:
    """The dearest kind of process first."""
    costs = [
        {kind: found["median"] for kind, found in one["core_ms_by_kind"].items()} for one in group
    ]
    most = {kind: max(cost.get(kind, 0.0) for cost in costs) for cost in costs for kind in cost}
    rows = [
        [kind, *(f"{cost[kind]:.2f}" if kind in cost else "" for cost in costs)]
        for kind in sorted(most, key=lambda kind: -most[kind])
        if most[kind] >= _NEGLIGIBLE_MS
    ]
    return as_table(([f"{title}, core ms of", *(one["front"] for one in group)], rows))


def _spread(found: dict[str, float]) -> str:
    digits = 0 if found["median"] >= 100 else 2
    median, low, high = (f"{found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{median} ({low} to {high})"
