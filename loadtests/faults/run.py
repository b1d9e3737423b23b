"""One case from its start to its figures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtests.faults.cases import GATEWAY, TRANSLATOR, Case
from loadtests.faults.load import SteadyLoad, Tally, ask_once, refused_at_once, tally_of
from loadtests.faults.services import Service, ServiceError
from loadtests.processes import wait_for

__all__ = ["Findings", "Plan", "run_case"]

_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how hard, the same for all cases."""

    rate: float = 40.0
    """Requests a second."""
    before_seconds: float = 8.0
    """Load without a fault, to compare with."""
    least_after_seconds: float = 10.0
    most_after_seconds: float = 60.0
    """Until the service must be whole again."""
    whole_seconds: float = 3.0
    """Load at least when it is."""
    seed: int = 4


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the clients saw of one fault."""

    case: str
    before: Tally
    """Answered before the fault."""
    after: Tally
    """All others."""
    retried: dict[str, int]
    """Attempts that gateways repeated after the fault, by reason; empty where nobody could tell."""
    whole_after_seconds: float | None
    """From the fault on, until there were as many replicas as before; None if there never were."""
    refused: int = 0
    """Requests sent to a service that was about to end; not in `after`."""


def run_case(name: str, case: Case, plan: Plan) -> Findings:
    """Starts a service, does it harm under load, and ends it.

    Raises:
        ServiceError: the service was not well before anything was done to it, or would not end.
        LoadTestError: it did not answer rightly before anything was done to it.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp", ignore_cleanup_errors=True) as f:
        service = case.start(Path(f))
        try:
            if not wait_for(lambda: _is_whole(service), _START_SECONDS):
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
    return Findings(
        case=name,
        before=tally_of(exchanges.where(~after)),
        after=tally_of(exchanges.where(after & ~refused)),
        retried=retried,
        whole_after_seconds=whole_after,
        refused=int(refused.sum()),
    )


def _wait_until_whole(
    service: Service,
    case: Case,
    plan: Plan,
    load: SteadyLoad,
    fault_at: float,
    replicas: Sequence[int],
) -> float | None:
    """Seconds from the fault on, None if it took too long; the load goes on for a while after."""
    whole_after = None
    wait_for(lambda: _replicas(service) != replicas, 2.0)  # a kill takes a moment to show
    old = set(replicas) if case.replaces_all else set()
    if wait_for(
        lambda: case.over(service) and not old & set(_replicas(service)) and _is_whole(service),
        plan.most_after_seconds,
    ):
        whole_after = load.elapsed - fault_at
    time.sleep(max(plan.whole_seconds, fault_at + plan.least_after_seconds - load.elapsed))
    return whole_after


def _replicas(service: Service) -> list[int]:
    return service.pids(TRANSLATOR) + service.pids(GATEWAY)


def _is_whole(service: Service) -> bool:
    """As many replicas as there should be, all of which work, and the front says so."""
    there = {"translator": len(service.pids(TRANSLATOR)), "gateway": len(service.pids(GATEWAY))}
    wanted = {"translator": 2, "gateway": 2}
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
