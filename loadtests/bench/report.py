"""What was measured, as a table for people and as one line of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from loadtests.bench.benchmark import Result
from loadtests.bench.contender import Regime
from loadtests.bench.figures import Spread, ratio, shown
from loadtests.bench.regimes import SHARES, Measurement
from loadtests.report import as_table

__all__ = ["as_json_line", "as_tables", "notes", "ratios"]

SCHEMA = 1
_DECIDING = {
    Regime.LATENCY: "mean_ms",
    Regime.THROUGHPUT: "tokens_per_second",
    Regime.ONLINE: "p95_ms",
}
"""The figure that a ratio is of."""
_BUSY = 0.02
_LOST_BLEU = 0.3
_LOST_LENGTHS = 0.01


def ratios(result: Result) -> dict[str, Spread]:
    """Ours over theirs, round by round; above 1 means ours is faster.

    Keys are `PEER-TYPE/SEARCH`, with `@80%` behind it for a load, and with `REGIME/` before it if
    there were several regimes.
    """
    found = {
        (m.regime, m.contender, m.search, m.load): m.figures[_DECIDING[m.regime]]
        for m in result.measurements
    }
    compared = {}
    for regime in result.options.regimes:
        prefix = f"{regime}/" if len(result.options.regimes) > 1 else ""
        shares: Sequence[float | None] = SHARES if regime is Regime.ONLINE else (None,)
        for pair in result.pairs:
            for search in result.options.searches:
                for share in shares:
                    load = None if share is None else f"{share:.0%} of {pair.their_label}"
                    ours = found[regime, pair.our_label, search, load]
                    theirs = found[regime, pair.their_label, search, load]
                    key = f"{prefix}{pair.name}/{search}" + (f"@{share:.0%}" if share else "")
                    rates = regime is Regime.THROUGHPUT
                    better, worse = (ours, theirs) if rates else (theirs, ours)
                    compared[key] = ratio(better.rounds, worse.rounds)
    return compared


def notes(result: Result) -> list[str]:
    """What whoever reads the figures must know; nothing, if all was as it should be."""
    found = []
    if result.options.rounds < 3:
        found.append("fewer than 3 rounds: do not compare with these ratios")
    if result.workload.left_out:
        found.append(f"{result.workload.left_out} lines were left out: too long for the model")
    for label, reason in result.excluded.items():
        found.append(f"{label} does not keep the planned lengths and was excluded: {reason}")
    for label, busy in result.idle_cpu.items():
        if busy > _BUSY:
            found.append(f"{label} used {busy:.0%} of a CPU while others had their turn")
    for m in result.measurements:
        if m.planned_lengths is not None and m.planned_lengths < 1 - _LOST_LENGTHS:
            found.append(
                f"{m.contender}, {m.regime}, {m.search}: "
                f"{1 - m.planned_lengths:.1%} of targets have other lengths than planned"
            )
    return found + _worse_translations(result)


def as_json_line(result: Result) -> str:
    """One object, as `polyhead bench --help` describes it."""
    compared = ratios(result)
    options = result.options
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "ratios": {key: round(spread.median, 4) for key, spread in compared.items()},
        "ratio_rounds": {key: spread.rounds for key, spread in compared.items()},
        "model": options.model,
        "regimes": options.regimes,
        "seed": options.seed,
        "rounds": options.rounds,
        "dtype": options.our_dtypes,
        "sentences": len(result.workload.sources),
        "source_tokens": sum(map(len, result.workload.sources)),
        "planned_tokens": sum(result.workload.planned) if result.workload.planned else None,
        "text": options.text.path.name if options.text.path else None,
        "references": options.text.references,
        "weights": result.weights_digest,
        "measurements": [_measured(m) for m in result.measurements],
        "memory": {label: asdict(memory) for label, memory in result.memory.items()},
        "idle_cpu": result.idle_cpu,
        "notes": notes(result),
        "hardware": asdict(result.hardware),
        "versions": result.versions,
        "commit": result.commit,
        "started": result.started,
        "seconds": round(result.seconds, 1),
    }
    return json.dumps(values, ensure_ascii=False, default=list)


def as_tables(result: Result) -> str:
    """A table for each regime, search and load, then ratios, memory and notes."""
    parts = [_heading(result)]
    # Measurements of one table stand together only once they are sorted.
    by_table = groupby(sorted(result.measurements, key=_table_of), key=_table_of)
    parts += [_measured_table(list(group)) for _, group in by_table]
    if compared := ratios(result):
        rows = [
            [key, f"{s.median:.2f}", f"{s.min:.2f} to {s.max:.2f}"] for key, s in compared.items()
        ]
        parts.append(_table(["ours over theirs", "median", "rounds"], rows))
    rows = [
        [label, f"{m.rss / 2**20:.0f}", f"{m.pss / 2**20:.0f}", f"{m.peak_rss / 2**20:.0f}"]
        for label, m in result.memory.items()
    ]
    parts.append(_table(["memory, MiB", "RSS", "PSS", "peak"], rows))
    if found := notes(result):
        parts.append("\n".join(f"Note: {note}." for note in found))
    return "\n\n".join(parts)


def _worse_translations(result: Result) -> list[str]:
    """No path may win by translating worse."""
    best: dict[object, float] = {}
    for m in result.measurements:
        if m.bleu is not None:
            key = (m.search, m.sentences)
            best[key] = max(best.get(key, 0.0), m.bleu)
    return [
        f"{m.contender}, {m.regime}, {m.search}: "
        f"{best[m.search, m.sentences] - m.bleu:.1f} BLEU below the best"
        for m in result.measurements
        if m.bleu is not None and m.bleu < best[m.search, m.sentences] - _LOST_BLEU
    ]


def _measured(m: Measurement) -> dict[str, Any]:
    values = asdict(m)
    return {name: value for name, value in values.items() if value is not None}


def _heading(result: Result) -> str:
    options, workload = result.options, result.workload
    cores = result.hardware.cores
    mean = sum(map(len, workload.sources)) / len(workload.sources)
    return (
        f"{options.model}: {len(workload.sources)} sentences of {mean:.1f} tokens on average, "
        f"{cores} of {result.hardware.cores_of_machine} CPUs ({result.hardware.cpu}), "
        f"{options.rounds} rounds, seed {options.seed}\n"
        "Medians, with the smallest and the largest round; token ids in, token ids out."
    )


def _table_of(m: Measurement) -> tuple[str, str, str]:
    return m.regime, m.search, m.load or ""


def _measured_table(group: Sequence[Measurement]) -> str:
    first = group[0]
    title = f"{first.regime}, {first.search}" + (f", {first.load}" if first.load else "")
    names = list(first.figures)
    header = [title, *[name.replace("_", " ") for name in names]]
    rows = [
        [m.contender, *[_spread(m.figures[name]) for name in names], *_circumstances(m)]
        for m in group
    ]
    return _table([*header, "sentences", "tokens out", "as planned", "BLEU", "set-up"], rows)


def _circumstances(m: Measurement) -> list[str]:
    return [
        str(m.sentences),
        "" if m.output_tokens is None else str(m.output_tokens),
        "" if m.planned_lengths is None else f"{m.planned_lengths:.1%}",
        "" if m.bleu is None else f"{m.bleu:.2f}",
        ", ".join(f"{name} {shown(value)}" for name, value in m.setup.items()),
    ]


def _spread(spread: Spread) -> str:
    return f"{shown(spread.median)} ({shown(spread.min)} to {shown(spread.max)})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that nobody has anything in."""
    kept = [column for column in zip(header, *rows, strict=True) if any(column[1:])]
    headings, *cells = zip(*kept, strict=True)
    return as_table((headings, cells))
