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
from loadtests.simulation.trace import Moment

__all__ = ["plot_courses", "plot_goodput", "plot_trace"]

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
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
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
    _finish(above, "replicas (dotted: the decision)", "")
    _finish(below, "queue time, 95th percentile, s", "hours" if hours else "minutes")
    _save(figure, path)


def plot_goodput(path: Path, curves: Sequence[tuple[str, Sequence[int], Sequence[float]]]) -> None:
    """Tokens per second over replicas, both logarithmic; each curve has a name, x and y."""
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    for name, replicas, tokens in curves:
        axes.plot(replicas, tokens, marker=".", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _finish(axes, "source tokens per second", "GPU replicas")
    _save(figure, path)


def plot_trace(path: Path, moments: Sequence[Moment]) -> None:
    """What a running service did: replicas above, queue time and load below."""
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    times = [moment.seconds for moment in moments]
    above.step(times, [one.replicas for one in moments], where="post", label="replicas")
    above.step(times, [one.target for one in moments], where="post", label="the decision")
    above.step(
        times, [one.needed for one in moments], where="post", linestyle=":", linewidth=1,
        label="needed by the load of the moment",
    )  # fmt: skip
    below.plot(times, [one.queue_seconds for one in moments], label="queue time, s")
    load = below.twinx()
    load.plot(times, [one.arriving for one in moments], color="black", linewidth=0.8)
    load.set_ylabel("arriving source tokens/s (black)")
    _finish(above, "replicas", "")
    _finish(below, "estimated queue time, p95, s", "seconds")
    _save(figure, path)


def _finish(axes: Axes, what: str, over: str) -> None:
    axes.set_ylabel(what)
    axes.set_xlabel(over)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    # Without the date and the version of the library, the same run gives the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)
