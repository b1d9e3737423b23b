"""What was found, for people and for programs, and whether it is what should be."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from loadtests.bench.machine import commit, read_hardware
from loadtests.faults.cases import Case
from loadtests.faults.run import Findings, Plan
from loadtests.report import as_table

__all__ = ["json_line", "row", "shortcoming", "table"]

_HEAD = ("case", "sent", "failed", "retried", "worst s", "without s", "whole after s")


def shortcoming(found: Findings, case: Case) -> str | None:
    """What must not be, None if there is nothing of that kind."""
    if not found.before.sent or found.before.failed:
        return "the service must answer all requests before the fault"
    if found.after.failed and not case.one_front:
        return "no request may fail"
    if found.whole_after_seconds is None and not (case.ends_service or case.lasting):
        return "the service must be whole again"
    return None


def row(found: Findings) -> str:
    """One case on a line, and what went wrong on lines below."""
    cells = ", ".join(f"{name} {cell}" for name, cell in zip(_HEAD, _cells(found), strict=True))
    if found.refused:
        cells += f", refused {found.refused}"
    return "\n".join([cells, *(f"  {fault}" for fault in found.after.faults)])


def table(found: Sequence[Findings]) -> str:
    """All cases, in Markdown."""
    return as_table((_HEAD, [_cells(one) for one in found]), "github")


def json_line(found: Sequence[Findings], plan: Plan) -> str:
    """All figures, and what they were found with and on."""
    hardware = read_hardware(os.sched_getaffinity(0), "cpu")
    return json.dumps(
        {
            "bench": "faults",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "cpu": hardware.cpu,
            "cores": hardware.cores,
            "plan": asdict(plan),
            "cases": [asdict(one) for one in found],
        }
    )


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
