"""`python -m loadtests.simulation [--out FOLDER]`: runs every scenario once, and writes the tables
of REPORT.md and its plots anew.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.simulation.cluster import Cluster, Course, Scenario
from loadtests.simulation.profiles import (
    CONTROLLER_COSTS,
    CPU_PAPER_BASE,
    GATEWAY,
    GPU_PAPER_BASE,
    GPU_PAPER_BASE_BEAM4,
)
from loadtests.simulation.scenarios import (
    at_peak,
    cpu_spike,
    gateway_limit,
    gpu_day,
    gpu_spikes,
    node_losses,
)
from loadtests.simulation.trace import plot_courses, plot_goodput

__all__ = ["REPORT", "with_tables", "write_report"]

_REPLICAS = (1, 3, 10, 30, 100, 300, 1000)
_GATEWAYS = (4, 40, 400, 4000, 16000)
REPORT = Path(__file__).with_name("REPORT.md")
"""Its text is written by hand; its tables stand between `<!-- NAME -->` and `<!-- end -->`."""

_Run = tuple[str, Scenario, Course]


def write_report(folder: Path) -> None:
    """REPORT.md and its plots, into `folder`; progress goes to stderr."""
    cpu = _run("autoscaled", cpu_spike())
    day = _run("autoscaled", gpu_day())
    spikes = [_run(f"a start takes {one.replica.start_seconds:.0f} s", one) for one in gpu_spikes()]
    losses = [
        _run(f"{one.losses[0][1]} of {one.first_replicas} lost", one) for one in node_losses()
    ]
    plot_courses(folder / "cpu-spike.png", [cpu], hours=False, logarithmic=False)
    plot_courses(folder / "gpu-day.png", [day], hours=True, logarithmic=True)
    plot_courses(folder / "gpu-spike.png", spikes, hours=False, logarithmic=False)
    plot_courses(folder / "node-loss.png", losses, hours=False, logarithmic=False)
    fixed = [
        _run("fixed", at_peak(scenario, max(course.replicas))) for _, scenario, course in (cpu, day)
    ]
    goodput = [[_goodput(replicas, gateways) for replicas in _REPLICAS] for gateways in _GATEWAYS]
    plot_goodput(
        folder / "gateways.png",
        [(f"{n:,} gateways", _REPLICAS, row) for n, row in zip(_GATEWAYS, goodput, strict=True)],
    )
    tables = {
        "PROFILES": _profiles(),
        "COURSES": _courses([cpu, fixed[0], day, fixed[1], *spikes, *losses]),
        "GATEWAYS": _gateways(goodput),
        "CONTROLLER": _controller(),
    }
    text = with_tables(REPORT.read_text(encoding="utf-8"), tables)
    (folder / "REPORT.md").write_text(text, encoding="utf-8")


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """`text` with the tables of these names instead of those that it has.

    Raises:
        KeyError: a table of the text is not among them.
    """
    return re.sub(
        r"<!-- (\w+) -->\n.*?\n<!-- end -->",
        lambda place: f"<!-- {place[1]} -->\n{tables[place[1]]}\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def _run(label: str, scenario: Scenario) -> _Run:
    print(scenario.name, file=sys.stderr, flush=True)
    return label, scenario, Cluster(scenario).run()


def _goodput(replicas: int, gateways: int) -> float:
    """Source tokens per second that are done."""
    scenario = gateway_limit(replicas, gateways)
    return Cluster(scenario).run().done_tokens / scenario.seconds


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _profiles() -> str:
    rows = [
        [
            one.name,
            f"{one.capacity:,.0f}",
            f"{one.slots:,}",
            f"{one.start_seconds:.0f} s",
            one.source,
        ]
        for one in (CPU_PAPER_BASE, GPU_PAPER_BASE, GPU_PAPER_BASE_BEAM4)
    ]
    gateway = f"{GATEWAY.requests_per_second:,.0f} requests/s"
    rows.append(["gateway", gateway, f"{GATEWAY.max_in_flight} in flight", "", GATEWAY.source])
    return _table(["what", "source tokens/s", "slots", "start", "from"], rows)


def _courses(runs: Sequence[_Run]) -> str:
    rows = [
        [
            scenario.name,
            f"{min(course.replicas):,} to {max(course.replicas):,}",
            f"{course.replica_hours:,.1f}",
            f"{course.queue_times.percentile(0.95):.2f}",
            f"{course.queue_times.percentile(0.99):.2f}",
            f"{max(course.queue_p95):.1f}",
            f"{course.queue_times.share_within(scenario.scaling.target_queue_seconds):.2%}",
            f"{course.shed_tokens / course.arrived_tokens:.2%}",
        ]
        for _, scenario, course in runs
    ]
    head = [
        "scenario", "replicas", "replica hours", "p95, s", "p99, s", "worst p95, s",
        "within 1 s", "refused",
    ]  # fmt: skip
    return _table(head, rows)


def _gateways(goodput: Sequence[Sequence[float]]) -> str:
    rows = [
        [f"{gateways:,}", *(f"{tokens / 1e6:,.2f}" for tokens in row)]
        for gateways, row in zip(_GATEWAYS, goodput, strict=True)
    ]
    return _table(["gateways \\ replicas", *(f"{n:,}" for n in _REPLICAS)], rows)


def _controller() -> str:
    rows = [
        [
            f"{cost.replicas:,}",
            f"{cost.gateways:,}",
            f"{cost.share_of_a_core(1.0):.0%}",
            f"{cost.share_of_a_core(10.0):.0%}",
        ]
        for cost in CONTROLLER_COSTS
    ]
    return _table(["replicas", "gateways", "reports every second", "every 10 s"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulation", description=__doc__)
    parser.add_argument("--out", type=Path, default=REPORT.parent, help="for REPORT.md and plots")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_report(out)
