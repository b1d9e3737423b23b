"""What was measured, as tables for people and as one line of JSON for machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from loadtests.open_loop.exchanges import Exchanges, percentile
from loadtests.open_loop.overload import verdict
from loadtests.open_loop.result import Result
from loadtests.open_loop.steps import LEAST_GOODPUT, Step
from loadtests.report import PERCENTILES, Table, as_table, cell_ms, ms, rounded

__all__ = ["as_json_line", "as_tables", "heading", "in_words", "tables"]

SCHEMA = 1


def as_json_line(result: Result) -> str:
    """One object, as `polyhead loadtest --help` describes it."""
    options, exchanges = result.options, result.exchanges
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "profile": options.profile_name,
        "ending": result.ending,
        "offered": rounded(result.offered),
        "throughput": rounded(result.throughput),
        "peak_throughput": rounded(result.peak_throughput),
        **_latencies(exchanges),
        "failure_share": round(result.failure_share, 6),
        **_counts(exchanges),
        "faults": dict(exchanges.faults.most_common()),
        "knee": _knee(result),
        "misses": result.misses(),
        "kinds": {kind: _counts(part) | _latencies(part) for kind, part in exchanges.kinds.items()},
        "steps": [_step(step, result.limit) for step in result.steps],
        "p95_limit_ms": ms(result.limit),
        "send_delay_p99_ms": ms(percentile(exchanges.send_delays, 0.99)),
        "seconds": rounded(result.seconds),
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
        "load_generators": options.processes,
        "thresholds": asdict(options.thresholds),
        "seed": options.seed,
        "notes": result.notes(),
        **result.conditions,
    }
    return json.dumps(values, ensure_ascii=False)


def as_tables(result: Result) -> str:
    """The heading, each table, what they come to, and notes."""
    parts = [heading(result), *map(as_table, tables(result)), *in_words(result)]
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
    limit = "no p95" if result.limit is None else f"a p95 of at most {1e3 * result.limit:.0f} ms"
    meaning = f"{LEAST_GOODPUT:.0%} of the requests answered rightly, and {limit}"
    if result.knee is None:
        return f"Knee: none, for no step held ({meaning})"
    step = result.knee.step
    bound = "" if result.knee.saturated else "at least "
    return (
        f"Knee: {bound}{step.offered:.1f} requests/s, p95 {cell_ms(step.exchanges.latency(0.95))} "
        f"ms, the highest step that holds ({meaning})"
    )


def tables(result: Result) -> list[Table]:
    """By kind of request, step or phase, and fault; those that would be empty are left out."""
    names = ["requests", "right", "failed", "not sent", "p50 ms", "p95 ms", "p99 ms"]
    kinds = {**result.exchanges.kinds, "all": result.exchanges}
    steps = [
        [
            f"{step.began} to {step.ended} s",
            f"{step.offered:.1f}",
            f"{step.throughput:.1f}",
            *_cells(step.exchanges),
            "yes" if step.holds(result.limit) else "no",
        ]
        for step in result.steps
    ]
    faults = [[fault, str(count)] for fault, count in result.exchanges.faults.most_common()]
    found: list[Table] = [
        (["kind", *names], [[kind, *_cells(part)] for kind, part in kinds.items()]),
        (["step", "offered/s", "right/s", *names, "holds"], steps),
        *([] if result.overload is None else verdict.tables(result.overload)),
        (["fault", "requests"], faults),
    ]
    return [(names, rows) for names, rows in found if rows]


def _cells(part: Exchanges) -> list[str]:
    counts = list(_counts(part).values())[:4]
    return [*map(str, counts), *(cell_ms(part.latency(share)) for share in PERCENTILES)]


def _counts(part: Exchanges) -> dict[str, int]:
    return {
        "requests": len(part),
        "right": int(part.right.sum()),
        "failed": int(part.failed.sum()),
        "not_sent": int(part.unsent.sum()),
        "unfinished": int(part.unfinished.sum()),
    }


def _latencies(part: Exchanges) -> dict[str, float | None]:
    return {f"p{share * 100:.0f}_ms": ms(part.latency(share)) for share in PERCENTILES}


def _step(step: Step, limit: float | None) -> dict[str, Any]:
    return {
        "began": step.began,
        "ended": step.ended,
        "offered": rounded(step.offered),
        "throughput": rounded(step.throughput),
        "goodput": round(step.goodput, 4),
        **_counts(step.exchanges),
        **_latencies(step.exchanges),
        "holds": step.holds(limit),
    }


def _knee(result: Result) -> dict[str, Any] | None:
    if result.knee is None:
        return None
    step = result.knee.step
    return {
        "offered": rounded(step.offered),
        "throughput": rounded(step.throughput),
        "p95_ms": ms(step.exchanges.latency(0.95)),
        "saturated": result.knee.saturated,
    }
