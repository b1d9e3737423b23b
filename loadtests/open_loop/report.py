"""The figures of a load test as tables and words for people."""

from __future__ import annotations

from typing import Any

from loadtests.open_loop import memory
from loadtests.open_loop.overload import verdict
from loadtests.open_loop.steps import LEAST_GOODPUT
from loadtests.report import Table, as_table, cell

__all__ = ["as_tables", "heading", "in_words", "tables"]

Figures = dict[str, Any]
"""As `loadtests.open_loop.figures.Result` has them."""


def as_tables(figures: Figures) -> str:
    """The heading, each table, what they come to, and notes."""
    parts = [heading(figures), *map(as_table, tables(figures)), *in_words(figures)]
    parts += ["\n".join(f"Note: {note}." for note in figures["notes"])]
    return "\n\n".join(filter(None, parts))


def heading(figures: Figures) -> str:
    """What was done, in a line."""
    return (
        f"{figures['profile']}, {figures['mix']}, {figures['pair'].replace('-', ' to ')}, "
        f"{figures['url']}: {figures['seconds']:.0f} s, {figures['offered']:.1f} requests/s "
        f"offered, {figures['throughput']:.1f} answered rightly, seed {figures['seed']}"
    )


def in_words(figures: Figures) -> list[str]:
    """What was found, as far as the profile shows it: the knee, the overload, the memory."""
    found = []
    if figures["steps"]:
        found.append(_knee_in_words(figures))
    if figures["overload"] is not None:
        found.append(verdict.in_words(figures["overload"]))
    if figures["memory"] is not None:
        found.append(memory.in_words(figures["memory"]))
    return found


def _knee_in_words(figures: Figures) -> str:
    limit, knee = figures["p95_limit_ms"], figures["knee"]
    bound = "no p95" if limit is None else f"a p95 of at most {limit:.0f} ms"
    meaning = f"{LEAST_GOODPUT:.0%} of the requests answered rightly, and {bound}"
    if knee is None:
        return f"Knee: none, for no step held ({meaning})"
    at_least = "" if knee["saturated"] else "at least "
    return (
        f"Knee: {at_least}{knee['offered']:.1f} requests/s, p95 {cell(knee['p95_ms'])} ms, the "
        f"highest step that holds ({meaning})"
    )


def tables(figures: Figures) -> list[Table]:
    """Tables by kind of request, step or phase, and fault; empty ones are left out."""
    names = ["requests", "right", "failed", "not sent", "p50 ms", "p95 ms", "p99 ms"]
    kinds = {**figures["kinds"], "all": figures}
    steps = [
        [
            f"{step['began']} to {step['ended']} s",
            f"{step['offered']:.1f}",
            f"{step['throughput']:.1f}",
            *_cells(step),
            "yes" if step["holds"] else "no",
        ]
        for step in figures["steps"]
    ]
    found: list[Table] = [
        (["kind", *names], [[kind, *_cells(part)] for kind, part in kinds.items()]),
        (["step", "offered/s", "right/s", *names, "holds"], steps),
        *([] if figures["overload"] is None else verdict.tables(figures["overload"])),
        (["fault", "requests"], [[fault, str(n)] for fault, n in figures["faults"].items()]),
    ]
    return [(names, rows) for names, rows in found if rows]


def _cells(part: Figures) -> list[str]:
    counts = [str(part[name]) for name in ("requests", "right", "failed", "not_sent")]
    return counts + [cell(part[name]) for name in ("p50_ms", "p95_ms", "p99_ms")]
