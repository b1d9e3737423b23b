"""The figures of a load test as tables and words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.open_loop.steps import LEAST_GOODPUT
from loadtests.report import Table, as_table, cell

__all__ = ["as_tables", "heading", "in_words", "tables"]

_COUNTS = ("requests", "right", "failed", "not_sent")
_TIMES = ("p50_ms", "p95_ms", "p99_ms")
_HEADINGS = {
    "offered": "offered/s", "rate": "offered/s", "throughput": "right/s", "goodput": "right/s",
}  # fmt: skip

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
        found.append(_overload_in_words(figures["overload"]))
    if figures["memory"] is not None:
        found.append(_memory_in_words(figures["memory"]))
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


def _overload_in_words(figures: Figures) -> str:
    """The verdict in a few lines."""
    turns = [phase for phase in figures["phases"] if phase["name"] == "overload"]
    if not turns or figures["goodput_share"] is None:
        return "Overload: it did not come to that"
    shares = ", ".join(f"{one:.0%}" for one in figures["turn_shares"])
    late, recovery = figures["late"], figures["recovery_seconds"]
    kept = "no deadline was set" if late is None else f"{late} were later than their deadline"
    back = "not seen" if recovery is None else f"{recovery:.1f} s"
    return (
        f"Overload: {turns[-1]['rate']:.0f} requests/s for "
        f"{sum(one['ended'] - one['began'] for one in turns):.0f} s in turns with the peak; "
        f"{figures['goodput']:.1f} right answers/s, {figures['goodput_share']:.1%} of the peak, "
        f"{figures['peak_goodput']:.1f}\n"
        f"Turn by turn: {shares}\n"
        f"Accepted during the overload: p95 {cell(figures['accepted_p95_ms'])} ms; {kept}\n"
        f"Refused: {figures['refused']} requests, p95 {cell(figures['refusal_p95_ms'])} ms, "
        f"{figures['without_retry_after']:.2%} without Retry-After\n"
        f"Neither answered rightly nor refused: {figures['failed']} requests\n"
        f"As quick as before (95 % within {cell(figures['before_p95_ms'])} ms) after: {back}"
    )


def _memory_in_words(figures: Figures) -> str:
    """The figures of `Memory` in one line."""
    growth, slope, means = (
        figures[name] for name in ("growth_percent", "slope_mb_per_hour", "quarter_means_mb")
    )
    ends = " to ".join("?" if mean is None else f"{mean:.0f}" for mean in (means[0], means[3]))
    if growth is None or slope is None:
        return f"Memory: {ends} MB, seen for too short a time to tell how it grows"
    return (
        f"Memory: {ends} MB from the first to the last quarter; {growth:+.2f} % from the "
        f"second to the last; {slope:+.1f} MB an hour in the second half"
    )


def tables(figures: Figures) -> list[Table]:
    """Tables by kind of request, step or phase, and fault; empty ones are left out."""
    kinds = {**figures["kinds"], "all": figures}
    steps = {f"{one['began']} to {one['ended']} s": one for one in figures["steps"]}
    found = [
        _table("kind", kinds, _COUNTS + _TIMES),
        _table("step", steps, ("offered", "throughput", *_COUNTS, *_TIMES, "holds")),
    ]
    if (overload := figures["overload"]) is not None:
        phases = {
            f"{one['name']}, {one['began']:.0f} to {one['ended']:.0f} s": one
            for one in overload["phases"]
        }
        names = ("rate", "requests", "goodput", "refused", "failed", "p50_ms", "p95_ms")
        bare = overload["without_retry_after_by_status"]
        refusals = {
            status: {"requests": count, "without Retry-After": bare.get(status, 0)}
            for status, count in overload["refusals_by_status"].items()
        }
        found += [
            _table("phase", phases, names),
            _table("refusals by status", refusals, ("requests", "without Retry-After")),
        ]
    faults = {fault: {"requests": count} for fault, count in figures["faults"].items()}
    found.append(_table("fault", faults, ("requests",)))
    return [(names, rows) for names, rows in found if rows]


def _table(title: str, parts: Mapping[str, Figures], names: Sequence[str]) -> Table:
    """One row for each part, with those of its figures."""
    rows = [[title, *(_shown(part[name]) for name in names)] for title, part in parts.items()]
    return [title, *(_HEADINGS.get(name, name.replace("_", " ")) for name in names)], rows


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else cell(value)
