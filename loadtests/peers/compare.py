"""Two translation services under the same users, in turns: requests a second, and p95.

    python -m loadtests.peers.compare http://127.0.0.1:8000 http://127.0.0.1:5000

Users speak LibreTranslate's form and wait for answers (a closed loop): 1, then 8, 32 and 64 of
them, the first service, then the second one, as often as `--rounds` says. Both must run already;
where they share CPUs, the one that does not have its turn is idle.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from loadtests.corpus import Corpus
from loadtests.mix import MIXES, Mix
from loadtests.open_loop.generator import generate_load
from loadtests.report import as_table, conditions, rounded

__all__ = ["main"]

_VARIETY = 2000
"""Requests that are drawn beforehand, to be drawn from in turn."""

Turn = dict[str, Any]
"""What one service did for some users, once, as the line of JSON has it."""


def _table(turns: Sequence[Turn]) -> str:
    """Medians of the turns that each service had with as many users."""
    rows = []
    for users, service in dict.fromkeys((turn["users"], turn["service"]) for turn in turns):
        mine = [turn for turn in turns if (turn["users"], turn["service"]) == (users, service)]
        medians = [
            f"{statistics.median(turn[name] for turn in mine):.1f}"
            for name in ("requests_per_second", "p50_ms", "p95_ms")
        ]
        failures = f"{sum(t['failures'] for t in mine)} of {sum(t['requests'] for t in mine)}"
        rows.append([service, str(users), *medians, failures])
    return as_table((["service", "users", "requests/s", "p50 ms", "p95 ms", "failures"], rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Takes turns, then prints a table of medians and, last, a line of JSON with every turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("services", nargs="+", metavar="URL")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=30, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mix", choices=MIXES, default="libretranslate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    started, rng = datetime.now(UTC), random.Random(options.seed)
    mix = Mix(options.mix, Corpus.read())
    requests = [mix.draw(rng) for _ in range(_VARIETY)]
    turns = []
    for users, number, service in product(options.users, range(options.rounds), options.services):
        load = generate_load(
            service, requests, clients=users, seconds=options.seconds, seed=options.seed + number
        )
        figures = load.exchanges.figures()
        if not figures["right"]:
            faults = ", ".join(load.exchanges.faults)
            sys.exit(f"compare: {service} gave {users} users no right answer: {faults}")
        turn = {
            "service": service,
            "users": users,
            "requests": figures["requests"],
            "failures": figures["failed"],
            "requests_per_second": rounded(load.requests_per_second),
            "p50_ms": figures["p50_ms"],
            "p95_ms": figures["p95_ms"],
        }
        turns.append(turn)
        print(f"round {number + 1}: {turn}", file=sys.stderr)
    print(_table(turns))
    facts = {
        "turns": turns,
        "seconds": options.seconds,
        "mix": options.mix,
        "seed": options.seed,
        **conditions(started, ("polyhead", "httptools")),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
