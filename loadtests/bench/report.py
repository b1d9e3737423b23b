"""What was measured, as one JSON object for machines, and as tables of it for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from loadtests.bench.contender import Regime
from loadtests.bench.lengths import SEQUENCES, length_tables
from loadtests.bench.machine import Memory
from loadtests.bench.options import BenchOptions, Pair
from loadtests.bench.peaks import Peaks
from loadtests.bench.regimes import Measurement
from loadtests.bench.workload import Workload
from loadtests.report import Spread, as_table, ratio, ratio_table, shown, shown_spread

__all__ = ["as_lengths", "as_object", "as_tables", "ratios"]

SCHEMA = 1
_DECIDING = {
    Regime.LATENCY: "mean_ms",
    Regime.THROUGHPUT: "tokens_per_second",
    Regime.ONLINE: "p95_ms",
}
"""The figure that a ratio is of."""
_BUSY = 0.02
_ROUGH = 0.2
_LOST_BLEU = 0.3
_LOST_LENGTHS = 0.01


def as_object(
    options: BenchOptions,
    workload: Workload,
    measurements: Sequence[Measurement],
    *,
    pairs: Sequence[Pair],
    memory: Mapping[str, Memory],
    idle_cpu: Mapping[str, float],
    **conditions: Any,
) -> dict[str, Any]:
    """The object that `polyhead bench --help` describes.

    Args:
        pairs: who is compared.
        memory: of each contender after its last turn.
        idle_cpu: CPUs that each contender kept busy while others had their turn: should be 0.
        conditions: further fields: what it was measured on and with.
    """
    compared = ratios(options, measurements, pairs)
    measurements = [m | _share_of_peak(m, conditions.get("peaks", {})) for m in measurements]
    rounds = [len(spread["rounds"]) for m in measurements for spread in m["figures"].values()]
    return {
        "schema": SCHEMA,
        "ratios": {key: round(spread["median"], 4) for key, spread in compared.items()},
        "ratio_rounds": {key: spread["rounds"] for key, spread in compared.items()},
        "model": Path(options.model).resolve().name,  # not where it lies on this machine
        "from": "texts" if options.texts else "token ids",
        "regimes": options.regimes,
        "limit_repeats": options.limit_repeats,
        "seed": options.seed,
        "rounds": min(rounds, default=0),
        "dtype": options.our_dtypes,
        "sentences": len(workload.sources),
        "source_tokens": sum(map(len, workload.sources)),
        "planned_tokens": sum(workload.planned) if workload.planned else None,
        "text": options.text.path.name if options.text.path else None,
        "references": options.text.references,
        "measurements": measurements,
        "memory": memory,
        "idle_cpu": idle_cpu,
        "notes": [
            *_notes_of_run(min(rounds, default=0), workload, idle_cpu),
            *_notes_of_targets(measurements),
        ],
        **conditions,
    }


def as_lengths(
    options: BenchOptions,
    measured: Sequence[Mapping[str, Any]],
    *,
    idle_cpu: Mapping[str, float],
    **conditions: Any,
) -> dict[str, Any]:
    """The object of a run by length.

    Args:
        measured: see `measure_lengths`.
        idle_cpu: CPUs that each contender kept busy while others had their turn: should be 0.
        conditions: further fields: what it was measured on and with.
    """
    rounds = min(len(point["seconds"]["rounds"]) for one in measured for point in one["points"])
    return {
        "schema": SCHEMA,
        "model": Path(options.model).resolve().name,  # not where it lies on this machine
        "regimes": options.regimes,
        "limit_repeats": options.limit_repeats,
        "seed": options.seed,
        "rounds": rounds,
        "sequences": SEQUENCES,
        "lengths": measured,
        "idle_cpu": idle_cpu,
        "notes": [*_notes_of_rounds(rounds, idle_cpu), *_notes_of_attention(measured)],
        **conditions,
    }


def ratios(
    options: BenchOptions, measurements: Sequence[Measurement], pairs: Sequence[Pair]
) -> dict[str, Spread]:
    """Ours over theirs, round by round, of those who keep planned lengths; above 1 ours is faster.

    Keys are `PEER-TYPE/SEARCH`, with `@80%` behind it for a load, and with `REGIME/` before it if
    there were several regimes.
    """
    kept = [m for m in measurements if _keeps_plan(m)]
    found = {(m["regime"], m["contender"], m["search"], m.get("load")): m["figures"] for m in kept}
    compared = {}
    for regime in options.regimes:
        prefix = f"{regime}/" if len(options.regimes) > 1 else ""
        for pair in pairs:
            for (at_work, contender, search, load), theirs in found.items():
                if (at_work, contender) != (regime, pair.their_label):
                    continue
                our_figures = found.get((regime, pair.our_label, search, load))
                if our_figures is None:
                    continue
                both = [our_figures, theirs]
                ours, their = (figures[_DECIDING[regime]]["rounds"] for figures in both)
                share = f"@{load.split()[0]}" if load else ""
                more_is_better = regime is Regime.THROUGHPUT
                better, worse = (ours, their) if more_is_better else (their, ours)
                compared[f"{prefix}{pair.name}/{search}{share}"] = ratio(better, worse)
    return compared


def _keeps_plan(m: Measurement) -> bool:
    """Whether nearly all targets are as long as planned, where they are."""
    return bool(m.get("planned_lengths", 1.0) >= 1 - _LOST_LENGTHS)


def _share_of_peak(m: Measurement, peaks: Peaks) -> dict[str, float]:
    """How near a contender came to what its CPUs can do in its type; nothing if that is unknown."""
    peak = peaks.get("all_threads", {}).get(m["contender"].rpartition("-")[2])
    if peak is None or "operations" not in m:
        return {}
    each = m["operations"] / m["output_tokens"]
    figures = m["figures"]
    if m["regime"] == Regime.THROUGHPUT:
        rate = figures["tokens_per_second"]["median"]
    else:
        rate = 1e3 / figures["per_token_ms"]["median"]
    return {"share_of_peak": each * rate / peak}


def _notes_of_run(
    rounds: int,
    workload: Workload,
    idle_cpu: Mapping[str, float],
) -> Iterable[str]:
    """What whoever reads the figures must know; nothing, if all was as it should be."""
    yield from _notes_of_rounds(rounds, idle_cpu)
    if workload.left_out:
        yield f"{workload.left_out} lines were left out: too long for the model"


def _notes_of_rounds(rounds: int, idle_cpu: Mapping[str, float]) -> Iterable[str]:
    if rounds < 3:
        yield "fewer than 3 rounds: do not compare with these ratios"
    for label, busy in idle_cpu.items():
        if busy > _BUSY:
            yield f"{label} used {busy:.0%} of a CPU while others had their turn"


def _notes_of_attention(measured: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for one in measured:
        if (error := one["attention_error"]) > _ROUGH:
            name = f"{one['contender']}, {one['search']}"
            yield f"{name}: shares of attention are rough, times fit them to within {error:.0%}"


def _notes_of_targets(measurements: Sequence[Measurement]) -> Iterable[str]:
    """No contender may win by other lengths or worse translations."""
    best: dict[object, float] = {}
    for m in measurements:
        of = m["search"], m["sentences"]
        best[of] = max(best.get(of, 0.0), m.get("bleu", 0.0))
    for m in measurements:
        name = f"{m['contender']}, {m['regime']}, {m['search']}"
        if not _keeps_plan(m):
            lost = 1 - m["planned_lengths"]
            yield f"{name}: {lost:.1%} of targets have other lengths than planned: no ratios"
        if "bleu" in m and (lost := best[m["search"], m["sentences"]] - m["bleu"]) > _LOST_BLEU:
            yield f"{name}: {lost:.1f} BLEU below the best"


def as_tables(values: Mapping[str, Any]) -> str:
    """A table for each regime, search and load of such an object; ratios, memory and notes."""
    if "lengths" in values:
        return _length_tables(values)
    hardware, sentences, form = values["hardware"], values["sentences"], values["from"]
    parts = [
        f"{values['model']}: {sentences} sentences of {values['source_tokens'] / sentences:.1f} "
        f"tokens on average, {hardware['cores']} of {hardware['cores_of_machine']} CPUs "
        f"({hardware['cpu']}), {values['rounds']} rounds, seed {values['seed']}\n"
        f"Medians, with the smallest and the largest round; {form} in, {form} out.\n"
        + _machine_lines(values)
    ]
    # Measurements of one table stand together only once they are sorted.
    by_table = groupby(sorted(values["measurements"], key=_table_of), key=_table_of)
    parts += [_measured_table(title, list(group)) for title, group in by_table]
    if values["ratio_rounds"]:
        parts.append(ratio_table("ours over theirs", values["ratio_rounds"]))
    names = ("rss", "pss", "peak_rss")
    rows = [
        [label, *(f"{memory[name] / 2**20:.0f}" for name in names)]
        for label, memory in values["memory"].items()
    ]
    parts.append(as_table((["memory, MiB", "RSS", "PSS", "peak"], rows)))
    parts.append("\n".join(f"Note: {note}." for note in values["notes"]))
    return "\n\n".join(filter(None, parts))


def _length_tables(values: Mapping[str, Any]) -> str:
    hardware = values["hardware"]
    head = (
        f"{values['model']}: {values['sequences']} sequences at once, {hardware['cores']} of "
        f"{hardware['cores_of_machine']} CPUs ({hardware['cpu']}), {values['rounds']} rounds\n"
        f"{_machine_lines(values)}"
    )
    notes = "\n".join(f"Note: {note}." for note in values["notes"])
    return "\n\n".join(filter(None, [head, length_tables(values["lengths"]), notes]))


def _machine_lines(values: Mapping[str, Any]) -> str:
    """What everybody computed with, and what that can do at most."""
    lines = []
    if values.get("instruction_set"):
        forced = values["forced"]
        held = ", forced, by " + " ".join(f"{k}={v}" for k, v in forced.items()) if forced else ""
        lines.append(f"Instruction set: {values['instruction_set']}{held}.")
    for threads, rates in values.get("peaks", {}).items():
        shown_rates = [
            f"{name} {rate / 1e9:,.0f} {'GB/s' if name == 'read' else 'GOP/s'}"
            for name, rate in rates.items()
        ]
        lines.append(f"Peaks of {threads.replace('_', ' ')}: {', '.join(shown_rates)}.")
    return "\n".join(lines)


def _table_of(m: Mapping[str, Any]) -> str:
    return ", ".join(m[name] for name in ("regime", "search", "load") if name in m)


def _measured_table(title: str, group: Sequence[Mapping[str, Any]]) -> str:
    names = list(group[0]["figures"])
    rows = [
        [
            m["contender"],
            *(shown_spread(m["figures"][name]) for name in names),
            str(m["sentences"]),
            str(m.get("output_tokens", "")),
            f"{m['planned_lengths']:.1%}" if "planned_lengths" in m else "",
            f"{m['share_of_peak']:.0%}" if "share_of_peak" in m else "",
            f"{m['bleu']:.2f}" if "bleu" in m else "",
            f"{m['bleu_to_float32']:.1f}" if "bleu_to_float32" in m else "",
            ", ".join(f"{name} {shown(value)}" for name, value in m["setup"].items()),
        ]
        for m in group
    ]
    facts = [
        "sentences", "tokens out", "as planned", "of peak", "BLEU", "BLEU to float32", "set-up",
    ]  # fmt: skip
    header = [title, *(name.replace("_", " ") for name in names), *facts]
    # Without the columns that nobody has anything in.
    kept = [column for column in zip(header, *rows, strict=True) if any(column[1:])]
    headings, *cells = zip(*kept, strict=True)
    return as_table((headings, cells))
