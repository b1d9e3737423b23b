"""A load test as plots: over time, and over the offered rate."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from loadtests.open_loop.exchanges import Numbers, percentiles
from loadtests.open_loop.figures import Result

__all__ = ["as_svg"]

_MOST_WINDOWS = 120
_MOST_KINDS = 5
"""Kinds of processes whose memory is drawn besides the sum: those that have most."""
_COLOURS = {"p50": "#4477aa", "p95": "#ee7733", "p99": "#cc3311"}
_RIGHT, _OFFERED, _LOST = "#228833", "#555555", "#cc3311"


def as_svg(result: Result) -> str:
    """One drawing that refers to nothing outside itself, to stand in a page."""
    draws: list[Callable[[Axes, Result], None]] = [_draw_latency, _draw_rates]
    if result.figures["steps"]:
        draws.append(_draw_knee)
    if result.memory is not None:
        draws.append(_draw_memory)
    # Letters stay letters: searchable, and small.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "polyhead", "font.size": 9.0}):
        figure = Figure(figsize=(9.0, 3.2 * len(draws)), layout="constrained")
        for row, draw in enumerate(draws):
            draw(figure.add_subplot(len(draws), 1, row + 1), result)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    # What stands before is the head of an XML file.
    return content.getvalue()[content.getvalue().index("<svg") :]


def _windows(result: Result) -> Numbers:
    """Edges, in whole seconds, of so many stretches of time as a plot can show."""
    length = max(1, math.ceil(result.seconds / _MOST_WINDOWS))
    return np.arange(0.0, math.ceil(result.seconds) + length, length)


def _draw_percentiles(
    axes: Axes,
    places: Sequence[float] | Numbers,
    figures: Sequence[dict[str, Any]],
    marker: str = "",
) -> None:
    """Percentiles on a logarithmic axis; those of each figures stand at their place."""
    for label, colour in _COLOURS.items():
        values = [math.nan if (ms := one[f"{label}_ms"]) is None else ms for one in figures]
        axes.plot(places, values, color=colour, marker=marker, markersize=3, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("ms")


def _finish(axes: Axes, title: str, x: str = "seconds since the beginning") -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", ncols=4)


def _draw_latency(axes: Axes, result: Result) -> None:
    edges = _windows(result)
    parts = [
        percentiles(result.exchanges.planned_between(*pair).latencies) for pair in pairwise(edges)
    ]
    _draw_percentiles(axes, (edges[:-1] + edges[1:]) / 2, parts)
    _finish(axes, "Latency of right answers, by the time they were planned for")


def _draw_rates(axes: Axes, result: Result) -> None:
    edges = _windows(result)
    all_, lost = result.exchanges, result.exchanges.failed | result.exchanges.unsent
    for label, moments, colour, style in (
        ("offered", all_.planned, _OFFERED, "--"),
        ("answered rightly", all_.ended[all_.right], _RIGHT, "-"),
        ("failed or not sent", all_.planned[lost], _LOST, "-"),
    ):
        rates = np.histogram(moments, edges)[0] / np.diff(edges)
        axes.plot((edges[:-1] + edges[1:]) / 2, rates, color=colour, linestyle=style, label=label)
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    _finish(axes, "Requests a second")


def _draw_knee(axes: Axes, result: Result) -> None:
    figures = result.figures
    steps = sorted(figures["steps"], key=lambda step: float(step["offered"]))
    offered = [step["offered"] for step in steps]
    _draw_percentiles(axes, offered, steps, marker="o")
    if (limit := figures["p95_limit_ms"]) is not None:
        axes.axhline(limit, color=_COLOURS["p95"], linestyle=":", label="limit of p95")
    if figures["knee"] is not None:
        rate = figures["knee"]["offered"]
        axes.axvline(rate, color="black", linestyle=":", label=f"knee: {rate:.1f} requests/s")
    rates = axes.twinx()
    rates.plot(offered, [step["throughput"] for step in steps], color=_RIGHT)
    rates.set_ylabel("right answers/s", color=_RIGHT)
    rates.set_ylim(bottom=0)
    _finish(axes, "Latency and throughput by offered rate", "requests/s offered")


def _draw_memory(axes: Axes, result: Result) -> None:
    memory = result.memory
    assert memory is not None
    axes.plot(memory.seconds, memory.total, label="all")
    for kind in memory.kinds[:_MOST_KINDS]:
        axes.plot(memory.seconds, memory.megabytes[kind], label=kind)
    axes.set_ylabel("MB")
    axes.set_ylim(bottom=0)
    _finish(axes, "Memory of the service's processes")
