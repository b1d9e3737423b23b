"""`python -m loadtests.faults [CASE...] [--json]`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime

from loadtests.bench.machine import commit, read_hardware
from loadtests.faults.cases import CASES
from loadtests.faults.run import Findings, Plan, run_case
from loadtests.faults.services import ServiceError

__all__ = ["main"]


def main() -> int:
    """Runs the cases one after the other; 1 if a request failed that should not have."""
    options = _options()
    plan = Plan(rate=options.rate, seed=options.seed)
    found = []
    for name in options.cases or CASES:
        print(f"{name}: {CASES[name].title}", file=sys.stderr, flush=True)
        if (program := CASES[name].needs) is not None and shutil.which(program) is None:
            print(f"{name}: skipped, for {program} must be on the PATH", file=sys.stderr)
            continue
        try:
            found.append(run_case(name, CASES[name], plan))
        except (ServiceError, RuntimeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(_row(found[-1]), file=sys.stderr, flush=True)
    if not options.json:
        print(_table(found))
    print(_json_line(found, plan))
    failed = [one for one in found if one.after.failed and not CASES[one.case].one_front]
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.faults", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rate", type=float, default=Plan.rate, help="requests a second")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of texts and moments")
    parser.add_argument("--json", action="store_true", help="no table, only the JSON line")
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"a case must be one of {', '.join(CASES)}, but is {unknown[0]}")
    return options


_HEAD = ("case", "sent", "failed", "retried", "worst s", "without s", "whole after s")


def _cells(one: Findings) -> tuple[str, ...]:
    whole = one.whole_after_seconds
    return (
        one.case,
        str(one.after.sent),
        str(one.after.failed),
        ", ".join(f"{count} {reason}" for reason, count in one.retried.items()) or "0",
        f"{one.after.worst_seconds:.2f}",
        f"{one.before.worst_seconds:.2f}",
        "-" if whole is None else f"{whole:.1f}",
    )


def _row(one: Findings) -> str:
    cells = ", ".join(f"{name} {cell}" for name, cell in zip(_HEAD, _cells(one), strict=True))
    if one.refused:
        cells += f", refused {one.refused}"
    return "\n".join([cells, *(f"  {fault}" for fault in one.after.faults)])


def _table(found: Sequence[Findings]) -> str:
    rows = [_HEAD, ("-",) * len(_HEAD), *(_cells(one) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        fill = "-" if number == 1 else " "
        cells = (cell.ljust(width, fill) for cell, width in zip(row, widths, strict=True))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _json_line(found: Sequence[Findings], plan: Plan) -> str:
    hardware = read_hardware(os.sched_getaffinity(0), "cpu")
    return json.dumps(
        {
            "bench": "faults",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "cpu": hardware.cpu,
            "cores": hardware.cores,
            "plan": {field.name: getattr(plan, field.name) for field in fields(plan)},
            "cases": [asdict(one) for one in found],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
