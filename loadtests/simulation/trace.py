"""Courses as pictures; of a real one: `python -m loadtests.simulation.trace URL --seconds 180`.

Looks at a running service's /metrics once a second and draws replicas, the decision and its grounds
over time, so that a run under load can be laid beside a simulated one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from prometheus_client.parser import text_string_to_metric_families

from loadtests.simulation.cluster import Course, Scenario

__all__ = ["moment_of", "plot_courses", "plot_goodput", "plot_trace", "record"]

matplotlib.use("Agg")

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


def _finish(axes: Axes, what: str, over: str) -> None:
    """Labels both axes and adds grid and legend."""
    axes.set_ylabel(what)
    axes.set_xlabel(over)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    """Writes a PNG file and closes the figure."""
    figure.tight_layout()
    # Without the date and the version of the library, the same run gives the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    pyplot.close(figure)


_PERIOD_SECONDS = 1.0
_TIMEOUT_SECONDS = 10.0


Moment = dict[str, float]
"""One look; of several models, the sum, and the longest queue time."""


def moment_of(text: str, seconds: float) -> Moment:
    """Reads a scrape in the Prometheus text format.

    Replicas are those that report; needed are as many as the load of that moment alone asks for;
    the queue time is the estimated 95th percentile; source tokens arrive so many a second.
    """
    found: dict[str, list[float]] = {}
    replicas = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "polyhead_process_up":
                replicas += sample.value * (sample.labels["component"] == "translator")
            elif sample.name.startswith("polyhead_autoscaling_"):
                name = sample.name.removeprefix("polyhead_autoscaling_")
                found.setdefault(name, []).append(sample.value)
    return {
        "seconds": seconds,
        "replicas": replicas,
        "target": sum(found.get("target_replicas", [])),
        "needed": sum(found.get("needed_replicas", [])),
        "queue_seconds": max(found.get("queue_time_seconds", [0.0])),
        "arriving": sum(found.get("arriving_source_tokens_per_second", [])),
    }


def record(url: str, seconds: float) -> list[Moment]:
    """Looks at `url`/metrics for so long; a scrape that fails is left out, and said on stderr."""
    moments: list[Moment] = []
    began = time.monotonic()
    with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        while (now := time.monotonic() - began) < seconds:
            try:
                moments.append(moment_of(client.get("/metrics").raise_for_status().text, now))
            except httpx.HTTPError as error:
                print(f"{now:.0f} s: {error}", file=sys.stderr)
            time.sleep(max(0.0, _PERIOD_SECONDS - (time.monotonic() - began - now)))
    return moments


def plot_trace(path: Path, moments: Sequence[Moment]) -> None:
    """What a running service did: replicas above, queue time and load below."""
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    times = [one["seconds"] for one in moments]
    above.step(times, [one["replicas"] for one in moments], where="post", label="replicas")
    above.step(times, [one["target"] for one in moments], where="post", label="the decision")
    above.step(
        times, [one["needed"] for one in moments], where="post", linestyle=":", linewidth=1,
        label="needed by the load of the moment",
    )  # fmt: skip
    below.plot(times, [one["queue_seconds"] for one in moments], label="queue time, s")
    load = below.twinx()
    load.plot(times, [one["arriving"] for one in moments], color="black", linewidth=0.8)
    load.set_ylabel("arriving source tokens/s (black)")
    _finish(above, "replicas", "")
    _finish(below, "estimated queue time, p95, s", "seconds")
    _save(figure, path)


def main() -> None:
    """Writes the plot, and the moments as lines of JSON to standard output."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulation.trace")
    parser.add_argument("url", help="of the service, http://127.0.0.1:8000 for one")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--out", type=Path, default=Path("autoscaling-trace.png"))
    given = parser.parse_args()
    moments = record(given.url, given.seconds)
    for moment in moments:
        print(json.dumps(moment))
    plot_trace(given.out, moments)


if __name__ == "__main__":
    main()
