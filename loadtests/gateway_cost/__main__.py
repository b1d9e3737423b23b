"""`python -m loadtests.gateway_cost`: from the words of the command line to what is printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.benchmark import run
from loadtests.gateway_cost.options import Front, Options
from loadtests.gateway_cost.report import as_tables
from loadtests.report import append

__all__ = ["app", "main"]

_MOST_CLIENTS = 256
"""Well below what a gateway takes in."""
_SHORTEST_TURN = 0.01
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
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each front.")] = Options.rounds,
    seconds: Annotated[
        float, typer.Option(min=_SHORTEST_TURN, max=600, help="Of a turn.")
    ] = Options.seconds,
    as_json: Annotated[bool, typer.Option("--json", help="Leave the tables out.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Add the line of JSON to this file, too.")
    ] = None,
) -> None:
    """What a request costs on its way to a model that answers at once, by kind of process.

    The last line is one object of JSON.
    """
    wanted = Options(
        fronts=tuple(dict.fromkeys(front or Options.fronts)),
        clients=tuple(dict.fromkeys(clients or Options.clients)),
        rounds=rounds,
        seconds=seconds,
    )
    if results is not None:
        append(results, "", error=BenchError)
    figures = run(wanted)
    if not as_json:
        print(as_tables(figures), end="\n\n")
    line = json.dumps(figures, ensure_ascii=False)
    print(line)
    if results is not None:
        append(results, line + "\n", error=BenchError)


def main() -> None:
    """What a user can put right ends as one line on stderr."""
    try:
        app(prog_name="python -m loadtests.gateway_cost")
    except BenchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
