"""`python -m loadtests.faults [CASE...] [--json]`."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from loadtests.faults.cases import CASES, Case
from loadtests.faults.run import Findings, Plan, run_case
from loadtests.report import as_table, conditions

__all__ = ["main"]

_HEAD = ("case", "sent", "failed", "retried", "worst s", "without s", "whole after s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases one after the other, and all of them whatever becomes of one.

    Returns:
        1 if anything was found that must not be, a case could not be run, or none was; else 0.
    """
    started, options = datetime.now(UTC), _options(arguments)
    plan = Plan(rate=options.rate, seed=options.seed)
    found = []
    is_well = True
    for name in options.cases or CASES:
        case = CASES[name]
        _say(f"{name}: {case.title}")
        if case.needs is not None and shutil.which(case.needs) is None:
            _say(f"{name}: skipped, for {case.needs} must be on the PATH")
            is_well = is_well and not options.cases
            continue
        try:
            found.append(run_case(name, case, plan))
        except Exception as error:  # the others have nothing to do with it
            _say(f"{name}: {type(error).__name__}: {error}")
            is_well = False
            continue
        _say(_row(found[-1]))
        if (problem := _shortcoming(found[-1], case)) is not None:
            _say(f"{name}: {problem}")
            is_well = False
    if not options.json:
        print(as_table((_HEAD, [_cells(one) for one in found]), "github"))
    cases = [asdict(one) for one in found]
    facts = conditions(started, ("polyhead", "ray"))
    print(json.dumps({"bench": "faults", "plan": asdict(plan), "cases": cases, **facts}))
    return 0 if found and is_well else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.faults", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rate", type=float, default=Plan.rate, help="requests a second")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of texts and moments")
    parser.add_argument("--json", action="store_true", help="no table, only the JSON line")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"a case must be one of {', '.join(CASES)}, but is {unknown[0]}")
    if not 0 < options.rate < math.inf:
        parser.error(f"--rate must be a number > 0, but is {options.rate}")
    return options


def _shortcoming(found: Findings, case: Case) -> str | None:
    """What must not be, None if there is nothing of that kind."""
    if not found.before["sent"] or found.before["failed"]:
        return "the service must answer all requests before the fault"
    if found.after["failed"] and not case.one_front:
        return "no request may fail"
    if found.whole_after_seconds is None and not (case.ends_service or case.lasting):
        return "the service must be whole again"
    return None


def _row(found: Findings) -> str:
    """One case on a line, and what went wrong on lines below."""
    cells = ", ".join(f"{name} {cell}" for name, cell in zip(_HEAD, _cells(found), strict=True))
    if found.refused:
        cells += f", refused {found.refused}"
    return "\n".join([cells, *(f"  {fault}" for fault in found.after["faults"])])


def _cells(one: Findings) -> tuple[str, ...]:
    whole = one.whole_after_seconds
    return (
        one.case,
        str(one.after["sent"]),
        str(one.after["failed"]),
        ", ".join(f"{count} {reason}" for reason, count in one.retried.items()) or "0",
        f"{one.after['worst_seconds']:.2f}",
        f"{one.before['worst_seconds']:.2f}",
        "-" if whole is None else f"{whole:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
