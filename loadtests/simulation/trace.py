"""What the real autoscaler does: `python -m loadtests.simulation.trace URL --seconds 180`.

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
from prometheus_client.parser import text_string_to_metric_families

from loadtests.simulation.plots import finish, save, stacked

__all__ = ["moment_of", "plot_trace", "record"]

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
    figure, above, below = stacked()
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
    finish(above, "replicas", "")
    finish(below, "estimated queue time, p95, s", "seconds")
    save(figure, path)


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
