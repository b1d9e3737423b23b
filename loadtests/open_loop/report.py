"""What was measured, as tables for people and as one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from loadtests.open_loop.overload import verdict
from loadtests.open_loop.record import Tally
from loadtests.open_loop.result import Result, milliseconds
from loadtests.open_loop.steps import LEAST_GOODPUT, Step

__all__ = ["Table", "as_json_line", "as_tables", "heading", "in_words", "tables"]

SCHEMA = 1
_PERCENTILES = (0.50, 0.95, 0.99)

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Headings, and rows of as many cells."""


def as_json_line(result: Result) -> str:
    """One object, as `polyhead loadtest --help` describes it."""
    options = result.options
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "profile": options.profile_name,
        "ending": result.ending,
        "offered": _rounded(result.offered),
        "throughput": _rounded(result.throughput),
        "peak_throughput": result.peak_throughput and _rounded(result.peak_throughput),
        **_latencies(result.total),
        "failure_share": round(result.failure_share, 6),
        **_counts(result.total),
        "faults": dict(result.record.faults.most_common()),
        "knee": _knee(result),
        "misses": result.misses(),
        "kinds": {
            kind: _counts(tally) | _latencies(tally) for kind, tally in result.record.kinds.items()
        },
        "steps": [_step(step, result.limit) for step in result.steps],
        "p95_limit_ms": None if result.limit is None else _rounded(1e3 * result.limit),
        "send_delay_p99_ms": _ms(result.record.delays.percentile(0.99)),
        "seconds": _rounded(result.seconds),
        "segments": [asdict(segment) for segment in result.profile.segments],
        "overload": None if result.overload is None else verdict.as_json(result.overload),
        "memory": None if result.memory is None else result.memory.as_json(),
        "mix": options.mix,
        "url": options.url,
        "texts": [path.name if path else None for path in (options.text, options.paragraphs)],
        "pair": f"{options.source}-{options.target}",
        "model": result.model,
        "in_flight": options.places,
        "max_wait": options.max_wait,
        "timeout": options.timeout,
        "load_generators": options.workers or options.processes,
        "thresholds": asdict(options.thresholds),
        "seed": options.seed,
        "notes": result.notes(),
        "hardware": asdict(result.hardware),
        "versions": result.versions,
        "commit": result.commit,
        "started": result.started,
    }
    return json.dumps(values, ensure_ascii=False)


def as_tables(result: Result) -> str:
    """The heading, each table, what they come to, and notes."""
    parts = [heading(result), *(_aligned(table) for table in tables(result)), *in_words(result)]
    if found := result.notes():
        parts.append("\n".join(f"Note: {note}." for note in found))
    return "\n\n".join(parts)


def heading(result: Result) -> str:
    """What was done, in a line."""
    options = result.options
    return (
        f"{options.profile_name}, {options.mix}, {options.source} to {options.target}, "
        f"{options.url}: {result.seconds:.0f} s, {result.offered:.1f} requests/s offered, "
        f"{result.throughput:.1f} answered rightly, seed {options.seed}"
    )


def in_words(result: Result) -> list[str]:
    """What was found, as far as the profile shows it: the knee, the overload, the memory."""
    found = []
    if result.steps:
        found.append(_knee_in_words(result))
    if result.overload is not None:
        found.append(verdict.in_words(result.overload))
    if result.memory is not None:
        found.append(result.memory.in_words())
    return found


def _knee_in_words(result: Result) -> str:
    """Where the knee is, and what that means."""
    limit = "no p95" if result.limit is None else f"a p95 of at most {1e3 * result.limit:.0f} ms"
    meaning = f"{LEAST_GOODPUT:.0%} of the requests answered rightly, and {limit}"
    if result.knee is None:
        return f"Knee: none, for no step held ({meaning})"
    step = result.knee.step
    bound = "" if result.knee.saturated else "at least "
    return (
        f"Knee: {bound}{step.offered:.1f} requests/s, p95 {_cell_ms(step.tally, 0.95)} ms, the "
        f"highest step that holds ({meaning})"
    )


def tables(result: Result) -> list[Table]:
    """By kind of request, step or phase, and fault; those that would be empty are left out."""
    names = ["requests", "right", "failed", "not sent", "p50 ms", "p95 ms", "p99 ms"]
    kinds = [[kind, *_cells(tally)] for kind, tally in sorted(result.record.kinds.items())]
    found: list[Table] = [(["kind", *names], [*kinds, ["all", *_cells(result.total)]])]
    if result.steps:
        rows = [
            [
                f"{step.began} to {step.ended} s",
                f"{step.offered:.1f}",
                f"{step.throughput:.1f}",
                *_cells(step.tally),
                "yes" if step.holds(result.limit) else "no",
            ]
            for step in result.steps
        ]
        found.append((["step", "offered/s", "right/s", *names, "holds"], rows))
    if result.overload is not None:
        more = (verdict.phase_table(result.overload), verdict.status_table(result.overload))
        found += [table for table in more if table[1]]
    if result.record.faults:
        faults = [[fault, str(count)] for fault, count in result.record.faults.most_common()]
        found.append((["fault", "requests"], faults))
    return found


def _cells(tally: Tally) -> list[str]:
    counts = (tally.planned, tally.right, tally.failed, tally.unsent)
    return [*map(str, counts), *(_cell_ms(tally, share) for share in _PERCENTILES)]


def _cell_ms(tally: Tally, share: float) -> str:
    value = milliseconds(tally, share)
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "requests": tally.planned,
        "right": tally.right,
        "failed": tally.failed,
        "not_sent": tally.unsent,
        "unfinished": tally.unfinished,
    }


def _latencies(tally: Tally) -> dict[str, float | None]:
    return {
        f"p{share * 100:.0f}_ms": _ms(tally.latencies.percentile(share)) for share in _PERCENTILES
    }


def _step(step: Step, limit: float | None) -> dict[str, Any]:
    return {
        "began": step.began,
        "ended": step.ended,
        "offered": _rounded(step.offered),
        "throughput": _rounded(step.throughput),
        "goodput": round(step.goodput, 4),
        **_counts(step.tally),
        **_latencies(step.tally),
        "holds": step.holds(limit),
    }


def _knee(result: Result) -> dict[str, Any] | None:
    if result.knee is None:
        return None
    step = result.knee.step
    return {
        "offered": _rounded(step.offered),
        "throughput": _rounded(step.throughput),
        "p95_ms": _ms(step.latency(0.95)),
        "saturated": result.knee.saturated,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else _rounded(1e3 * seconds)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _aligned(table: Table) -> str:
    """Columns as wide as their widest cell, numbers to the right."""
    header, rows = table
    lines: Iterable[Sequence[str]] = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
