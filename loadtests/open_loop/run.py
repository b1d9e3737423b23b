"""One load test from its options to its report."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.figures import Result
from loadtests.open_loop.memory import Memory, MemoryWatch
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.overload.run import overload
from loadtests.open_loop.page import as_page
from loadtests.open_loop.planned import Ending, offer_profile
from loadtests.open_loop.probe import probe
from loadtests.open_loop.profiles import Profile, ProfileName
from loadtests.open_loop.report import as_tables
from loadtests.open_loop.thresholds import THRESHOLDS
from loadtests.report import append, conditions

__all__ = ["INTERRUPTED_STATUS", "run"]

INTERRUPTED_STATUS = 130
"""What shells report of a command that Ctrl-C has ended."""
_PACKAGES = ("polyhead", "torch", "numpy", "httptools", "uvloop")


def run(
    profile: str, *, as_json: bool, report: Path | None, results: Path | None, **options: Any
) -> int:
    """Tests a service and prints what was found.

    Args:
        as_json: leaves the tables out.
        report: where to write the page; None takes a new name in `runs/loadtests`.
        results: the line of JSON is added to this file as well.
        options: further ones, by their names in `LoadTestOptions` and `THRESHOLDS`.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        LoadTestError: an option is no good, no service answers, or a threshold was missed.
    """
    given = {name: options.pop(name, None) for name in THRESHOLDS}
    limits = {name: limit for name, limit in given.items() if limit is not None}
    wanted = LoadTestOptions(profile_name=profile, thresholds=limits, **options)
    started = datetime.now(UTC)
    report = report or Path("runs/loadtests") / f"{started:%Y-%m-%dT%H%M%SZ}-{profile}.html"
    for path in filter(None, (report, results)):
        append(path, "", error=LoadTestError)
    result = _measure(wanted, started)
    report.write_text(as_page(result), encoding="utf-8")
    print(f"polyhead: the report is {report}", file=sys.stderr)
    if not as_json:
        print(as_tables(result.figures), end="\n\n")
    line = json.dumps(result.figures, ensure_ascii=False)
    print(line, flush=True)
    if results is not None:
        append(results, line + "\n", error=LoadTestError)
    if result.ending is Ending.INTERRUPTED:
        return INTERRUPTED_STATUS
    if misses := result.figures["misses"]:
        raise LoadTestError("not passed: " + "; ".join(misses))
    return 0


def _measure(options: LoadTestOptions, started: datetime) -> Result:
    model = probe(options)
    memory: Memory | None = None
    if options.pid is None:
        profile, exchanges, elapsed, ending, overloaded = _offer(options)
    else:
        with MemoryWatch(options.pid) as watch:
            profile, exchanges, elapsed, ending, overloaded = _offer(options)
        memory = watch.memory
    if not len(exchanges):
        raise LoadTestError("ended before anything was sent")
    return Result(
        options=options,
        profile=profile,
        exchanges=exchanges,
        elapsed=elapsed,
        overload=overloaded,
        memory=memory,
        ending=ending,
        model=model,
        conditions=conditions(started, _PACKAGES),
    )


def _offer(
    options: LoadTestOptions,
) -> tuple[Profile, Exchanges, float, Ending, Overload | None]:
    if options.profile_name != ProfileName.OVERLOAD:
        return options.profile, *offer_profile(options), None
    seen, ending = overload(options)
    return seen.profile, seen.exchanges, seen.elapsed, ending, seen
