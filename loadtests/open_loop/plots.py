"""A load test as plots: over time, and over the offered rate."""

from __future__ import annotations

import io
import math

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from loadtests.open_loop.overload.figures import PhaseName
from loadtests.open_loop.record import Histogram, Tally
from loadtests.open_loop.result import Result, milliseconds

__all__ = ["as_svg"]

_MOST_WINDOWS = 120
_MOST_COURSES = 5
"""Of memory, besides the sum: the kinds of processes that have most."""
_COLOURS = {0.50: "#4477aa", 0.95: "#ee7733", 0.99: "#cc3311"}
_RIGHT, _OFFERED, _LOST = "#228833", "#555555", "#cc3311"


def as_svg(result: Result) -> str:
    """One drawing that refers to nothing outside itself, to stand in a page."""
    more = [
        draw
        for draw, wanted in (
            (_draw_knee, bool(result.steps)),
            (_draw_refusals, result.overload is not None),
            (_draw_memory, result.memory is not None),
        )
        if wanted
    ]
    rows = 2 + len(more)
    # Letters stay letters: searchable, and small.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "polyhead", "font.size": 9.0}):
        figure = Figure(figsize=(9.0, 3.2 * rows), layout="constrained")
        axes = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
        _draw_latency(axes[0], result)
        _draw_rates(axes[1], result)
        for place, draw in zip(axes[2:], more, strict=True):
            draw(place, result)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    # What stands before is the head of an XML file.
    return content.getvalue()[content.getvalue().index("<svg") :]


def _windows(result: Result) -> list[tuple[float, int, Tally]]:
    """(middle, seconds, tally) of so many stretches of time as a plot can show."""
    length = max(1, math.ceil(result.seconds / _MOST_WINDOWS))
    return [
        (began + length / 2, length, result.record.between(began, began + length))
        for began in range(0, math.ceil(result.seconds), length)
    ]


def _draw_latency(axes: Axes, result: Result) -> None:
    windows = _windows(result)
    for share, colour in _COLOURS.items():
        points = [(t, milliseconds(tally, share)) for t, _, tally in windows]
        axes.plot(
            [t for t, _ in points],
            [math.nan if ms is None else ms for _, ms in points],
            color=colour,
            label=f"p{100 * share:.0f}",
        )
    _scale_latency(axes)
    axes.set_title("Latency of right answers, by the time they were planned for")
    axes.set_xlabel("seconds since the beginning")
    axes.legend(loc="upper left", ncols=3)


def _draw_rates(axes: Axes, result: Result) -> None:
    windows = _windows(result)
    times = [t for t, _, _ in windows]
    offered = [tally.planned / seconds for _, seconds, tally in windows]
    right = [
        sum(result.record.answered[int(t - seconds / 2) + i] for i in range(seconds)) / seconds
        for t, seconds, _ in windows
    ]
    lost = [(tally.failed + tally.unsent) / seconds for _, seconds, tally in windows]
    axes.plot(times, offered, color=_OFFERED, linestyle="--", label="offered")
    axes.plot(times, right, color=_RIGHT, label="answered rightly")
    axes.plot(times, lost, color=_LOST, label="failed or not sent")
    axes.set_title("Requests a second")
    axes.set_xlabel("seconds since the beginning")
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", ncols=3)


def _draw_knee(axes: Axes, result: Result) -> None:
    steps = sorted(result.steps, key=lambda step: step.offered)
    offered = [step.offered for step in steps]
    for share, colour in _COLOURS.items():
        latencies = [milliseconds(step.tally, share) for step in steps]
        axes.plot(
            offered,
            [math.nan if ms is None else ms for ms in latencies],
            color=colour,
            marker="o",
            markersize=3,
            label=f"p{100 * share:.0f}",
        )
    _scale_latency(axes)
    if result.limit is not None:
        axes.axhline(1e3 * result.limit, color=_COLOURS[0.95], linestyle=":", label="limit of p95")
    if result.knee is not None:
        rate = result.knee.step.offered
        axes.axvline(rate, color="black", linestyle=":", label=f"knee: {rate:.1f} requests/s")
    rates = axes.twinx()
    rates.plot(offered, [s.throughput for s in steps], color=_RIGHT, label="answered rightly")
    rates.set_ylabel("right answers/s", color=_RIGHT)
    rates.set_ylim(bottom=0)
    axes.set_title("Latency and throughput by offered rate")
    axes.set_xlabel("requests/s offered")
    axes.legend(loc="upper left", ncols=3)


def _draw_refusals(axes: Axes, result: Result) -> None:
    overload = result.overload
    assert overload is not None
    seconds = range(math.ceil(result.seconds))
    refused: list[Histogram] = [Histogram() for _ in seconds]
    for one in overload.refused:
        if one.seconds is not None and int(one.planned) in seconds:
            refused[int(one.planned)].add(one.seconds)
    for share, colour in _COLOURS.items():
        times = [found.percentile(share) for found in refused]
        axes.plot(
            [second + 0.5 for second in seconds],
            [math.nan if time is None else 1e3 * time for time in times],
            color=colour,
            label=f"p{100 * share:.0f}",
        )
    _scale_latency(axes)
    turns = [phase for phase in overload.phases if phase.name is PhaseName.OVERLOAD]
    for phase in turns:
        label = "overload" if phase is turns[0] else None
        axes.axvspan(phase.began, phase.ended, color=_OFFERED, alpha=0.1, label=label)
    axes.set_xlim(0, result.seconds)
    axes.set_title("Time in which requests were refused, from their sending")
    axes.set_xlabel("seconds since the beginning")
    axes.legend(loc="upper left", ncols=4)


def _draw_memory(axes: Axes, result: Result) -> None:
    memory = result.memory
    assert memory is not None
    for label, times, values in memory.courses(_MOST_COURSES):
        axes.plot(times, values, label=label)
    axes.set_title("Memory of the service's processes")
    axes.set_xlabel("seconds since the beginning")
    axes.set_ylabel("MB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", ncols=3)


def _scale_latency(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("ms")
    axes.grid(alpha=0.3)
