"""What reports of load tests share: tables, numbers, the conditions of a run, files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tabulate import tabulate

from loadtests.bench.machine import commit, read_hardware, versions
from model.engine.cpus import granted_cpus
from model.errors import PolyheadError

__all__ = [
    "PERCENTILES",
    "Spread",
    "Table",
    "append",
    "as_table",
    "cell",
    "conditions",
    "ms",
    "ratio",
    "ratio_table",
    "rounded",
    "shown",
    "shown_spread",
    "spread",
]

PERCENTILES = (0.50, 0.95, 0.99)
"""Those that reports tell."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Headings, and rows of as many cells."""
Spread = dict[str, Any]
"""One figure of several rounds, as the line of JSON has it."""


def as_table(table: Table, form: str = "plain") -> str:
    """A table in a form that tabulate knows: plain, github (Markdown) or html (escaped).

    The first column is aligned to the left, the others, numbers, to the right.
    """
    headings, rows = table
    text: str = tabulate(
        rows, headings, form, disable_numparse=True, colglobalalign="right", colalign=("left",)
    )
    return text


def spread(rounds: Sequence[float]) -> Spread:
    """The rounds, one or more, with their smallest, median and largest value."""
    return {
        "rounds": tuple(rounds),
        "min": min(rounds),
        "median": statistics.median(rounds),
        "max": max(rounds),
    }


def ratio(better: Sequence[float], worse: Sequence[float]) -> Spread:
    """Round by round, `better` over `worse`: both had the same conditions in a round, so drift of
    the machine falls out."""
    return spread([a / b for a, b in zip(better, worse, strict=True)])


def ratio_table(title: str, ratio_rounds: Mapping[str, Sequence[float]]) -> str:
    """The median, the smallest and the largest round of each ratio."""
    rows = [
        [key, f"{statistics.median(rounds):.2f}", f"{min(rounds):.2f} to {max(rounds):.2f}"]
        for key, rounds in ratio_rounds.items()
    ]
    return as_table(([title, "median", "rounds"], rows))


def shown_spread(found: Spread) -> str:
    """The median, and between which rounds it stands."""
    return f"{shown(found['median'])} ({shown(found['min'])} to {shown(found['max'])})"


def shown(value: object) -> str:
    """A value for people: four digits of a float, thousands in groups, anything else as it is."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return str(value)


def rounded(value: float | None) -> float | None:
    """To four digits, as lines of JSON have it."""
    return None if value is None else float(f"{value:.4g}")


def ms(seconds: float | None) -> float | None:
    """Milliseconds, rounded."""
    return None if seconds is None else rounded(1e3 * seconds)


def cell(milliseconds: float | None) -> str:
    """Milliseconds for a cell of a table."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def conditions(started: datetime, packages: Iterable[str]) -> dict[str, Any]:
    """What a run was made on and with: hardware, versions, commit, and when it began (UTC)."""
    return {
        "hardware": read_hardware(range(granted_cpus()), "cpu"),
        "versions": versions(packages),
        "commit": commit(),
        "started": started.isoformat(timespec="seconds"),
    }


def append(path: Path, content: str, *, error: type[PolyheadError]) -> None:
    """Adds text to a file, which is made with its folder where there is none.

    Nothing to add shows, before anything is measured, whether the file can be written.

    Raises:
        PolyheadError: of the type `error`: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(content)
    except OSError as problem:
        raise error(f"cannot write {path}: {problem.strerror}") from problem
