"""A run by length as a plot: time, attention's share and memory, over the source and the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.bench.lengths import side_points

__all__ = ["draw"]

_FIGURES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "seconds": lambda point: float(point["seconds"]["median"]),
    "attention's share of the time, %": lambda point: 100.0 * float(point["attention"]),
    "peak RSS of the process, MiB": lambda point: float(point["peak_rss"]) / 2**20,
}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draws what `as_lengths` holds; the name of the file says in which format."""
    figure = Figure(figsize=(12.0, 6.5), layout="constrained")
    figure.suptitle(
        f"{result['model']}, {result['sequences']} sequences at once, "
        f"{result['hardware']['cores']} CPUs, {result['instruction_set']}"
    )
    axes = figure.subplots(2, len(_FIGURES), squeeze=False)
    for row, side in zip(axes, ("source", "target"), strict=True):
        for area, (label, value) in zip(row, _FIGURES.items(), strict=True):
            for one in result["lengths"]:
                if not (points := side_points(one, side)):
                    continue  # there was no time for them
                name = f"{one['contender']}, {one['search']}"
                lengths = [point[side] for point in points]
                area.plot(lengths, [value(point) for point in points], marker="o", label=name)
            _finish(area, side, label)
    figure.savefig(path)


def _finish(area: Axes, side: str, label: str) -> None:
    area.set_xscale("log", base=2)
    area.xaxis.set_major_formatter("{x:.0f}")
    if label != "seconds":
        area.set_ylim(bottom=0)
    elif area.lines:
        area.set_yscale("log")
    area.set_xlabel(f"tokens of the {side}")
    area.set_ylabel(label)
    area.grid(alpha=0.3)
    if area.lines:
        area.legend()
