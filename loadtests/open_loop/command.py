"""`polyhead loadtest`: from the words of the command line to what stands on stdout."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.load import Ending, generate_load
from loadtests.open_loop.memory import Memory, MemoryWatch
from loadtests.open_loop.options import LoadTestOptions, Thresholds
from loadtests.open_loop.overload.figures import Overload, record_of
from loadtests.open_loop.overload.run import overload
from loadtests.open_loop.probe import probe
from loadtests.open_loop.profiles import Profile, ProfileName
from loadtests.open_loop.record import Record
from loadtests.open_loop.report import as_json_line, as_tables
from loadtests.open_loop.result import Result

__all__ = ["INTERRUPTED_STATUS", "loadtest"]

INTERRUPTED_STATUS = 130
"""What shells report of a command that Ctrl-C has ended."""
_NEEDED = ("locust", "matplotlib")


def loadtest(
    profile: str,
    *,
    as_json: bool,
    report: Path | None,
    results: Path | None,
    **options: Any,
) -> int:
    """Tests and prints.

    Args:
        as_json: leaves the tables out.
        report: where to write the page; None takes a new name in `runs/loadtests`.
        results: the line of JSON is added to this file as well.
        options: further ones, by their names in `LoadTestOptions` and `Thresholds`.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        LoadTestError: an option is no good, no service answers, or a threshold was missed.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            raise LoadTestError(
                f"{package} is not installed: pip install 'polyhead[loadtest]' brings it"
            )
    limits = {field.name: options.pop(field.name, None) for field in fields(Thresholds)}
    wanted = LoadTestOptions(profile_name=profile, thresholds=Thresholds(**limits), **options)
    started = datetime.now(UTC)
    report = report or Path("runs/loadtests") / f"{started:%Y-%m-%dT%H%M%SZ}-{profile}.html"
    for path in filter(None, (report, results)):
        _append(path, "")  # a name that is no good is known before anything is measured
    result = _measure(wanted, started)
    _publish(result, as_json=as_json, report=report, results=results)
    if result.ending is Ending.INTERRUPTED:
        return INTERRUPTED_STATUS
    if misses := result.misses():
        raise LoadTestError("not passed: " + "; ".join(misses))
    return 0


def _measure(options: LoadTestOptions, started: datetime) -> Result:
    model = probe(options)
    memory: Memory | None = None
    if options.pid is None:
        profile, record, ending, overloaded = _offer(options)
    else:
        with MemoryWatch(options.pid) as watch:
            profile, record, ending, overloaded = _offer(options)
        memory = watch.memory
    if not record.kinds:
        raise LoadTestError("ended before anything was sent")
    return Result(
        options=options,
        profile=profile,
        record=record,
        overload=overloaded,
        memory=memory,
        ending=ending,
        model=model,
        hardware=read_hardware(os.sched_getaffinity(0), "cpu"),
        versions=versions() | {"locust": version("locust")},
        commit=commit(),
        started=started.isoformat(timespec="seconds"),
    )


def _offer(options: LoadTestOptions) -> tuple[Profile, Record, Ending, Overload | None]:
    if options.profile_name != ProfileName.OVERLOAD:
        record, ending = generate_load(options)
        return options.profile, record, ending, None
    seen, ending = overload(options)
    return seen.profile, record_of(seen.exchanges, seen.elapsed), ending, seen


def _publish(result: Result, *, as_json: bool, report: Path, results: Path | None) -> None:
    # matplotlib takes a second: what is wrong with an option is said before that.
    from loadtests.open_loop.page import as_page

    line = as_json_line(result)
    report.write_text(as_page(result), encoding="utf-8")
    print(f"polyhead: the report is {report}", file=sys.stderr)
    if not as_json:
        print(as_tables(result), end="\n\n")
    print(line, flush=True)
    if results is not None:
        _append(results, line + "\n")


def _append(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise LoadTestError(f"cannot write {path}: {error.strerror}") from error
