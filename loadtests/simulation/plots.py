"""The courses as pictures: PNG files of some ten kilobytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.simulation.cluster import Course, Scenario

__all__ = ["finish", "plot_courses", "plot_goodput", "save", "stacked"]

_DPI = 90
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
_LEAST_SECONDS = 1e-3
"""What is shorter is drawn here, for the axis is logarithmic."""


def plot_courses(
    path: Path, runs: Sequence[tuple[str, Scenario, Course]], *, hours: bool, logarithmic: bool
) -> None:
    """Replicas over time above, queue times below; one colour for each run.

    Args:
        path: of the PNG file.
        runs: what each is called, and what happened.
        hours: whether time is in hours, not minutes.
        logarithmic: whether the numbers of replicas are drawn so.
    """
    figure, above, below = stacked()
    unit = 3600.0 if hours else 60.0
    for colour, (name, _, course) in zip(_COLOURS, runs, strict=False):
        times = [second / unit for second in course.seconds]
        above.plot(times, course.replicas, color=colour, label=f"{name}: replicas")
        above.plot(times, course.targets, color=colour, linestyle=":", linewidth=1)
        queue = [max(seconds, _LEAST_SECONDS) for seconds in course.queue_p95]
        below.plot(times, queue, color=colour, label=name)
    _, scenario, course = runs[0]
    busy = [tokens / scenario.replica.capacity for tokens in course.offered]
    above.plot(
        [second / unit for second in course.seconds], busy, color="black", linewidth=0.8,
        label="load, in replicas that are wholly busy",
    )  # fmt: skip
    below.axhline(scenario.scaling.target_queue_seconds, color="black", linewidth=0.8)
    below.set_yscale("log")
    if logarithmic:
        above.set_yscale("log")
    finish(above, "replicas (dotted: the decision)", "")
    finish(below, "queue time, 95th percentile, s", "hours" if hours else "minutes")
    save(figure, path)


def plot_goodput(path: Path, curves: Sequence[tuple[str, Sequence[int], Sequence[float]]]) -> None:
    """Tokens per second over replicas, both logarithmic; each curve has a name, x and y."""
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    for name, replicas, tokens in curves:
        axes.plot(replicas, tokens, marker=".", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    finish(axes, "source tokens per second", "GPU replicas")
    save(figure, path)


def stacked() -> tuple[Figure, Axes, Axes]:
    """Two plots over the same time, one above the other."""
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    return figure, above, below


def finish(axes: Axes, what: str, over: str) -> None:
    """Labels both axes and adds grid and legend."""
    axes.set_ylabel(what)
    axes.set_xlabel(over)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG file and closes the figure."""
    figure.tight_layout()
    # Without the date and the version of the library, the same run gives the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)
