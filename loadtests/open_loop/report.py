"""The figures of a load test as tables and words for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.open_loop.figures import Result
from loadtests.open_loop.plots import as_svg
from loadtests.report import Table, as_table, cell

__all__ = ["as_page", "as_tables"]

_COUNTS = ("requests", "right", "failed", "not_sent")
_TIMES = ("p50_ms", "p95_ms", "p99_ms")
_HEADINGS = {
    "offered": "offered/s", "rate": "offered/s", "throughput": "right/s", "goodput": "right/s",
}  # fmt: skip

Figures = dict[str, Any]
"""As `loadtests.open_loop.figures.Result` has them."""


def as_tables(figures: Figures) -> str:
    """The heading, each table, and notes."""
    parts = [heading(figures), *map(as_table, tables(figures))]
    parts += ["\n".join(f"Note: {note}." for note in figures["notes"])]
    return "\n\n".join(filter(None, parts))


def heading(figures: Figures) -> str:
    """What was done, in a line."""
    return (
        f"{figures['profile']}, {figures['mix']}, {figures['pair'].replace('-', ' to ')}, "
        f"{figures['url']}: {figures['seconds']:.0f} s, {figures['offered']:.1f} requests/s "
        f"offered, {figures['throughput']:.1f} answered rightly, seed {figures['seed']}"
    )


def _in_full(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_in_full(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_in_full, value)) or "-"
    return _shown(value) if value is None or isinstance(value, bool) else str(value)


def tables(figures: Figures) -> list[Table]:
    """Tables by kind of request, step or phase, and fault, then knee, overload and memory figure by
    figure; empty ones are left out.
    """
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
        found.append(_table("phase", phases, names))
    faults = {fault: {"requests": count} for fault, count in figures["faults"].items()}
    found.append(_table("fault", faults, ("requests",)))
    for title in ("knee", "overload", "memory"):
        part = {name: one for name, one in (figures[title] or {}).items() if name != "phases"}
        rows = [[name.replace("_", " "), _in_full(value)] for name, value in part.items()]
        found.append(((title, "figure"), rows))
    return [(names, rows) for names, rows in found if rows]


def _table(title: str, parts: Mapping[str, Figures], names: Sequence[str]) -> Table:
    """One row for each part, with those of its figures."""
    rows = [[title, *(_shown(part[name]) for name in names)] for title, part in parts.items()]
    return [title, *(_HEADINGS.get(name, name.replace("_", " ")) for name in names)], rows


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else cell(value)


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; }
th { text-align: left; }
svg { width: 100%; height: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5; padding: 1rem; }
.miss { color: #b00; font-weight: bold; }
"""


def as_page(result: Result) -> str:
    """The whole document."""
    facts = result.figures
    hardware = facts["hardware"]
    title = f"Load test: {facts['profile']}, {facts['started']}"
    misses = [f'<p class="miss">Missed: {escape(miss)}.</p>' for miss in facts["misses"]]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(heading(facts))}.</p>",
        *misses,
        *(f"<p>Note: {escape(note)}.</p>" for note in facts["notes"]),
        as_svg(result),
        *(as_table(table, "html") for table in tables(facts)),
        "<p>Requests start at planned times, drawn at random (Poisson), whatever the service does. "
        "Latency counts from the planned time to the last byte of a right answer.</p>",
        f"<p>Load from {escape(hardware['cpu'])}, {hardware['cores']} CPUs; commit "
        f"{escape(str(facts['commit']))}; seed {facts['seed']}.</p>",
        f"<details><summary>All figures</summary><pre>{escape(json.dumps(facts, indent=1))}</pre>"
        "</details>",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
