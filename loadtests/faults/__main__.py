"""`python -m loadtests.faults [CASE...] [--json]`."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Sequence

from loadtests.faults.cases import CASES
from loadtests.faults.report import json_line, row, shortcoming, table
from loadtests.faults.run import Plan, run_case

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases one after the other, and all of them whatever becomes of one.

    Returns:
        1 if anything was found that must not be, a case could not be run, or none was; else 0.
    """
    options = _options(arguments)
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
        _say(row(found[-1]))
        if (problem := shortcoming(found[-1], case)) is not None:
            _say(f"{name}: {problem}")
            is_well = False
    if not options.json:
        print(table(found))
    print(json_line(found, plan))
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


if __name__ == "__main__":
    sys.exit(main())
