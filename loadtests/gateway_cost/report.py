"""The figures of a run as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from loadtests.report import as_table

__all__ = ["as_tables", "notes"]

_NEGLIGIBLE_MS = 0.005

Figures = dict[str, Any]
"""As `loadtests.gateway_cost.benchmark.run` has them."""


def notes(figures: Figures) -> list[str]:
    """What whoever reads the figures must know."""
    found = []
    if figures["rounds"] < 3:
        found.append("fewer than 3 rounds: do not compare with these ratios")
    for one in figures["measurements"]:
        if times := one["reconnections"]:
            title = f"{one['front']}, {_title(one['clients'])}"
            found.append(f"{title}: connections were closed {times} times")
    for front, busy in figures["idle_cpu"].items():
        found.append(f"{front} used {busy:.1%} of a CPU while others had their turn")
    return found


def as_tables(figures: Figures) -> str:
    """For each number of clients what was seen and where the time went; then ratios and notes."""
    hardware = figures["hardware"]
    parts = [
        f"{hardware['cores']} of {hardware['cores_of_machine']} CPUs ({hardware['cpu']}), "
        f"{figures['rounds']} rounds of {figures['turn_seconds']:g} s; medians of the rounds.\n"
        "Core-milliseconds a request are those of all server processes; the load generator, which "
        "shares the CPUs, is counted apart."
    ]
    for clients in figures["clients"]:
        group = [one for one in figures["measurements"] if one["clients"] == clients]
        parts += [_seen(clients, group), _by_kind(clients, group)]
    if ratios := figures["ratio_rounds"]:
        rows = [
            [key, f"{statistics.median(rounds):.2f}", f"{min(rounds):.2f} to {max(rounds):.2f}"]
            for key, rounds in ratios.items()
        ]
        parts.append(as_table((["core-ms", "median", "rounds"], rows)))
    parts.append("\n".join(f"Note: {note}." for note in notes(figures)))
    return "\n\n".join(parts)


def _seen(clients: int, group: Sequence[Figures]) -> str:
    names = list(group[0]["figures"])
    header = [_title(clients), *(name.replace("_", " ") for name in names), "requests"]
    rows = [
        [one["front"], *(_spread(one["figures"][name]) for name in names), str(one["requests"])]
        for one in group
    ]
    return as_table((header, rows))


def _by_kind(clients: int, group: Sequence[Figures]) -> str:
    """The dearest kind of process first."""
    costs = [
        {kind: spread["median"] for kind, spread in one["core_ms_by_kind"].items()} for one in group
    ]
    most = {kind: max(cost.get(kind, 0.0) for cost in costs) for cost in costs for kind in cost}
    rows = [
        [kind, *(f"{cost[kind]:.2f}" if kind in cost else "" for cost in costs)]
        for kind in sorted(most, key=lambda kind: -most[kind])
        if most[kind] >= _NEGLIGIBLE_MS
    ]
    return as_table(([f"{_title(clients)}, core ms of", *(one["front"] for one in group)], rows))


def _title(clients: int) -> str:
    return f"{clients} client" + ("" if clients == 1 else "s")


def _spread(spread: dict[str, float]) -> str:
    digits = 0 if spread["median"] >= 100 else 2
    median, low, high = (f"{spread[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{median} ({low} to {high})"
