"""`python -m loadtests.faults [CASE...] [--json]`: each case from its start to its figures."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtests.faults.cases import CASES, GATEWAY, TRANSLATOR, Case
from loadtests.faults.cluster import Service, ServiceError
from loadtests.faults.load import SteadyLoad, ask_once, refused_at_once, tally_of
from loadtests.processes import wait_for
from loadtests.report import as_table, conditions

__all__ = ["Findings", "Plan", "main", "run_case"]

_HEAD = ("case", "sent", "failed", "retried", "worst s", "without s", "whole after s")
_START_SECONDS = 120.0
Findings = dict[str, Any]
"""What the clients saw of one fault, as the line of JSON has it.

`before` and `after` are tallies of what was answered before the fault, and of all others. `retried`
counts attempts that gateways repeated after it, by reason; it is empty where nobody could tell.
`whole_after_seconds` pass until there are as many replicas as before; None if there never were.
`refused` requests, not in `after`, were sent to a service that was about to end.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how hard, the same for all cases."""

    rate: float = 40.0
    """Requests a second."""
    before_seconds: float = 8.0
    """Load without a fault, to compare with."""
    least_after_seconds: float = 10.0
    most_after_seconds: float = 180.0
    """Until the service must be whole again."""
    whole_seconds: float = 3.0
    """Load at least when it is."""
    seed: int = 4


def run_case(name: str, case: Case, plan: Plan) -> Findings:
    """Starts a service, does it harm under load, and ends it.

    Raises:
        ServiceError: the service was not well before anything was done to it, or would not end.
        LoadTestError: it did not answer rightly before anything was done to it.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp", ignore_cleanup_errors=True) as f:
        service = case.start(Path(f))
        try:
            if not wait_for(lambda: _is_whole(service, case.translators), _START_SECONDS):
                raise ServiceError(f"{name}: the service never had all its replicas")
            return _harm(name, case, service, plan)
        finally:
            service.close()


def _harm(name: str, case: Case, service: Service, plan: Plan) -> Findings:
    requests = ask_once(service.url, seed=plan.seed)
    retried_before = _retries(service.url)
    whole_after = None
    with SteadyLoad(service.url, requests, rate=plan.rate, seed=plan.seed) as load:
        time.sleep(plan.before_seconds)
        replicas = _replicas(service)
        fault_at = load.elapsed
        case.inject(service)
        if case.ends_service:
            if not wait_for(lambda: not service.pids(GATEWAY), plan.most_after_seconds):
                raise ServiceError(f"{name}: the service did not end")
        else:
            whole_after = _wait_until_whole(service, case, plan, load, fault_at, replicas)
    retried = {} if case.ends_service else _difference(_retries(service.url), retried_before)
    exchanges = load.exchanges
    after = exchanges.ended > fault_at
    refused = refused_at_once(exchanges, fault_at) & case.ends_service
    return {
        "case": name,
        "before": tally_of(exchanges.where(~after)),
        "after": tally_of(exchanges.where(after & ~refused)),
        "retried": retried,
        "whole_after_seconds": whole_after,
        "refused": int(refused.sum()),
    }


def _wait_until_whole(
    service: Service,
    case: Case,
    plan: Plan,
    load: SteadyLoad,
    fault_at: float,
    replicas: Sequence[int],
) -> float | None:
    """Seconds from the fault on, None if it took too long; the load goes on for a while after."""
    wait_for(lambda: _replicas(service) != replicas, 2.0)  # a kill takes a moment to show
    old = set(replicas) if case.replaces_all else set()
    whole = wait_for(
        lambda: (
            case.over(service)
            and not old & set(_replicas(service))
            and _is_whole(service, case.translators_after)
        ),
        plan.most_after_seconds,
    )
    whole_after = load.elapsed - fault_at if whole else None
    time.sleep(max(plan.whole_seconds, fault_at + plan.least_after_seconds - load.elapsed))
    return whole_after


def _replicas(service: Service) -> list[int]:
    return service.pids(TRANSLATOR) + service.pids(GATEWAY)


def _is_whole(service: Service, translators: int) -> bool:
    """As many replicas as there should be, all of which work, and the front says so."""
    there = {"translator": len(service.pids(TRANSLATOR)), "gateway": len(service.pids(GATEWAY))}
    wanted = {"translator": translators, "gateway": 2}
    return there == wanted == _working(service.url) and _get(f"{service.url}/ready") is not None


def _samples(url: str, name: str) -> list[Sample]:
    """Those of one scrape with this name; none where there is no answer."""
    families = text_string_to_metric_families(_get(f"{url}/metrics") or "")
    return [sample for family in families for sample in family.samples if sample.name == name]


def _working(url: str) -> dict[str, int]:
    """Replicas that report, by kind: one that still loads does not."""
    kinds = [one.labels["component"] for one in _samples(url, "polyhead_process_up") if one.value]
    return {kind: kinds.count(kind) for kind in ("translator", "gateway")}


def _retries(url: str) -> dict[str, int]:
    """Attempts that all gateways have repeated so far, by reason."""
    samples = _samples(url, "polyhead_request_retries_total")
    return {sample.labels["reason"]: round(sample.value) for sample in samples}


def _difference(now: dict[str, int], then: dict[str, int]) -> dict[str, int]:
    """How much the counters have grown; one that is less than it was has begun anew."""
    more = {
        reason: count - then.get(reason, 0) if count >= then.get(reason, 0) else count
        for reason, count in now.items()
    }
    return {reason: count for reason, count in more.items() if count}


def _get(url: str) -> str | None:
    """The answer; None if there is none, or no good one."""
    try:
        return httpx.get(url, timeout=10, trust_env=False).raise_for_status().text
    except httpx.HTTPError:
        return None


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
        if missing := [program for program in case.needs if shutil.which(program) is None]:
            _say(f"{name}: skipped, for {missing[0]} must be on the PATH")
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
    facts = conditions(started, ("polyhead", "ray"))
    print(json.dumps({"bench": "faults", "plan": asdict(plan), "cases": found, **facts}))
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
    if not found["before"]["sent"] or found["before"]["failed"]:
        return "the service must answer all requests before the fault"
    if found["after"]["failed"] and not case.one_front:
        return "no request may fail"
    if found["whole_after_seconds"] is None and not (case.ends_service or case.lasting):
        return "the service must be whole again"
    return None


def _row(found: Findings) -> str:
    """One case on a line, and what went wrong on lines below."""
    cells = ", ".join(f"{name} {cell}" for name, cell in zip(_HEAD, _cells(found), strict=True))
    if found["refused"]:
        cells += f", refused {found['refused']}"
    return "\n".join([cells, *(f"  {fault}" for fault in found["after"]["faults"])])


def _cells(one: Findings) -> tuple[str, ...]:
    whole = one["whole_after_seconds"]
    return (
        one["case"],
        str(one["after"]["sent"]),
        str(one["after"]["failed"]),
        ", ".join(f"{count} {reason}" for reason, count in one["retried"].items()) or "0",
        f"{one['after']['worst_seconds']:.2f}",
        f"{one['before']['worst_seconds']:.2f}",
        "-" if whole is None else f"{whole:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
