"""What the real autoscaler does: `python -m loadtests.simulation.trace URL --seconds 180`.

Looks at a running service's /metrics once a second and draws replicas, the decision and its grounds
over time, so that a run under load can be laid beside a simulated one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from loadtests.simulation.plots import finish, save, stacked

__all__ = ["Moment", "moment_of", "plot_trace", "record"]

_PERIOD_SECONDS = 1.0
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One look. Of several models, the sum, and the longest queue time."""

    seconds: float
    """Since the first look."""
    replicas: float
    """That report."""
    target: float
    needed: float
    """By the load of that moment alone."""
    queue_seconds: float
    """The estimated 95th percentile."""
    arriving: float
    """Source tokens per second."""


def moment_of(text: str, seconds: float) -> Moment:
    """Reads a scrape in the Prometheus text format."""
    found: dict[str, list[float]] = {}
    replicas = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "polyhead_process_up":
                replicas += sample.value * (sample.labels["component"] == "translator")
            elif sample.name.startswith("polyhead_autoscaling_"):
                name = sample.name.removeprefix("polyhead_autoscaling_")
                found.setdefault(name, []).append(sample.value)
    return Moment(
        seconds=seconds,
        replicas=replicas,
        target=sum(found.get("target_replicas", [])),
        needed=sum(found.get("needed_replicas", [])),
        queue_seconds=max(found.get("queue_time_seconds", [0.0])),
        arriving=sum(found.get("arriving_source_tokens_per_second", [])),
    )


def record(
    url: str, seconds: float, *, say: Callable[[str], None] = lambda _: None
) -> list[Moment]:
    """Looks at `url`/metrics for so long; a scrape that fails is left out, and `say` is told."""
    moments: list[Moment] = []
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        try:
            with urllib.request.urlopen(f"{url}/metrics", timeout=_TIMEOUT_SECONDS) as answer:
                moments.append(moment_of(answer.read().decode(), now))
        except (OSError, urllib.error.URLError) as error:
            say(f"{now:.0f} s: {error}")
        time.sleep(max(0.0, _PERIOD_SECONDS - (time.monotonic() - began - now)))
    return moments


def plot_trace(path: Path, moments: Sequence[Moment]) -> None:
    """What a running service did: replicas above, queue time and load below."""
    figure, above, below = stacked()
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
    moments = record(given.url, given.seconds, say=lambda line: print(line, file=sys.stderr))
    for moment in moments:
        print(json.dumps(asdict(moment)))
    plot_trace(given.out, moments)


if __name__ == "__main__":
    main()
