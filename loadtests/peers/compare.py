"""Two translation services under the same users, in turns: requests a second, and p95.

    python -m loadtests.peers.compare http://127.0.0.1:8000 http://127.0.0.1:5000

Users speak LibreTranslate's form and wait for answers (a closed loop): 1, then 8, 32 and 64 of
them, the first service, then the second one, as often as `--rounds` says. Both must run already;
where they share CPUs, the one that does not have its turn is idle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.figures import percentile
from loadtests.report import as_table, conditions

__all__ = ["Turn", "main", "turn_of"]

_ROOT = Path(__file__).parents[2]
_LOCUSTFILE = _ROOT / "loadtests" / "locustfile.py"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one service did for some users, once."""

    service: str
    users: int
    requests: int
    failures: int
    requests_per_second: float
    p50_ms: float
    p95_ms: float


def turn_of(service: str, users: int, entries: Sequence[dict[str, object]]) -> Turn:
    """Sums up locust's statistics, which have an entry for each kind of request.

    Raises:
        ValueError: there was no request.
    """
    times: Counter[float] = Counter()
    requests = failures = 0
    first, last = float("inf"), 0.0
    for entry in entries:
        counts = entry["response_times"]
        assert isinstance(counts, dict)
        times.update({float(ms): count for ms, count in counts.items()})
        requests += int(str(entry["num_requests"]))
        failures += int(str(entry["num_failures"]))
        first = min(first, float(str(entry["start_time"])))
        last = max(last, float(str(entry["last_request_timestamp"])))
    if not requests:
        raise ValueError(f"{service} answered no request of {users} users")
    elements = list(times.elements())
    return Turn(
        service=service,
        users=users,
        requests=requests,
        failures=failures,
        requests_per_second=(requests - failures) / max(last - first, 1e-9),
        p50_ms=percentile(elements, 0.50),
        p95_ms=percentile(elements, 0.95),
    )


def _take_turn(service: str, users: int, seconds: int, user_class: str, seed: int) -> Turn:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--json"),
            *("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"),
            *("--stop-timeout", "30", "--host", service, "--foreign", "--skip-log-setup"),
            *("--seed", str(seed), user_class),
        ],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return turn_of(service, users, json.loads(ran.stdout or "[]"))


def _table(turns: Sequence[Turn]) -> str:
    """Medians of the turns that each service had with as many users."""
    rows = []
    for users, service in dict.fromkeys((turn.users, turn.service) for turn in turns):
        mine = [turn for turn in turns if (turn.users, turn.service) == (users, service)]
        medians = [
            f"{statistics.median(getattr(turn, name) for turn in mine):.1f}"
            for name in ("requests_per_second", "p50_ms", "p95_ms")
        ]
        failures = f"{sum(t.failures for t in mine)} of {sum(t.requests for t in mine)}"
        rows.append([service, str(users), *medians, failures])
    return as_table((["service", "users", "requests/s", "p50 ms", "p95 ms", "failures"], rows))


def main() -> None:
    """Takes turns, then prints a table of medians and, last, a line of JSON with every turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("services", nargs="+", metavar="URL")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=int, default=30, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--user-class", default="LibreTranslateUser", help="of locustfile.py")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = datetime.now(UTC)
    turns = []
    for users in options.users:
        for number in range(options.rounds):
            for service in options.services:
                try:
                    turn = _take_turn(
                        service, users, options.seconds, options.user_class, options.seed + number
                    )
                except ValueError as error:
                    sys.exit(f"compare: {error}")
                turns.append(turn)
                print(f"{service}, {users} users, round {number + 1}: {turn}", file=sys.stderr)
    print(_table(turns))
    facts = {
        "turns": [asdict(turn) for turn in turns],
        "seconds": options.seconds,
        "user_class": options.user_class,
        "seed": options.seed,
        **conditions(started, ("polyhead", "locust")),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
