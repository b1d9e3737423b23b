"""One load test from its options to its report."""

from __future__ import annotations

import json
import random
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from tqdm import tqdm

from loadtests.corpus import LoadTestError
from loadtests.mix import ask
from loadtests.open_loop.client import Client
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.figures import Result, is_saturated, num_settled
from loadtests.open_loop.generator import Ending, Generator, until_stopped
from loadtests.open_loop.memory import MemoryWatch
from loadtests.open_loop.options import THRESHOLDS, LoadTestOptions
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.overload.run import OverloadRun
from loadtests.open_loop.profiles import Profile, ProfileName
from loadtests.open_loop.report import as_page, as_tables
from loadtests.report import append, conditions

__all__ = ["INTERRUPTED_STATUS", "run"]

INTERRUPTED_STATUS = 130
"""What shells report of a command that Ctrl-C has ended."""
_LOOK_SECONDS = 1.0
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
    # One of each kind before the load, so that what cannot work is known at once.
    requests = options.requests.each(random.Random(options.seed))
    answers = ask(options.url, requests, timeout=options.timeout)
    models = [answer["model"] for answer in answers if "model" in answer]
    watch = None if options.pid is None else MemoryWatch(options.pid)
    with watch or nullcontext():
        profile, exchanges, elapsed, ending, overload = uvloop.run(_offer(options))
    if not len(exchanges):
        raise LoadTestError("ended before anything was sent")
    return Result(
        options=options,
        profile=profile,
        exchanges=exchanges,
        elapsed=elapsed,
        overload=overload,
        memory=None if watch is None else watch.memory,
        ending=ending,
        model=models[-1] if models else None,
        conditions=conditions(started, _PACKAGES),
    )


async def _offer(
    options: LoadTestOptions,
) -> tuple[Profile, Exchanges, float, Ending, Overload | None]:
    """Offers load until it is over, Ctrl-C, or the knee; progress is on stderr.

    Returns:
        What was offered, the requests, the seconds from the first one to the end, why it ended,
        and what only an overload shows.
    """
    async with Client(options.url) as client:
        generator = options.generator(client)
        if options.profile_name != ProfileName.OVERLOAD:
            ending = await until_stopped(_offer_until_saturated(generator, options))
            return options.profile, generator.exchanges, generator.elapsed, ending, None
        phases = OverloadRun(options, generator)
        ending, elapsed = await until_stopped(phases.run()), generator.elapsed
        overload = phases.seen(elapsed)
        return overload.profile, overload.exchanges, elapsed, ending, overload


async def _offer_until_saturated(generator: Generator, options: LoadTestOptions) -> Ending:
    profile, judged = options.profile, 0
    with tqdm(total=round(profile.seconds), unit="s", desc=profile.name, file=sys.stderr) as bar:
        for piece in profile.pieces(_LOOK_SECONDS):
            await generator.offer(piece)
            bar.update(round(generator.elapsed) - bar.n)
            if (settled := num_settled(profile, generator.elapsed)) > judged:
                judged = settled
                limit, now = options.knee_p95_ms, generator.elapsed
                if is_saturated(generator.exchanges, profile, limit, elapsed=now):
                    return Ending.SATURATED
        await generator.finish()
    return Ending.COMPLETE
