"""`python -m loadtests.misbehaviour [PROFILE...]`: attacks a deployment that runs already.

A well-behaved client asks for sentences alone, then beside misbehaving clients, then alone again.
It must lose nothing, its p95 may at most double, and the server must end all other connections
within a time. Attack what is yours alone: whoever uses the deployment meanwhile may be refused.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from loadtests.corpus import Corpus, LoadTestError
from loadtests.faults.load import SteadyLoad, ask_once, tally_of
from loadtests.misbehaviour.attack import Plan, allow_open_files, attack, end_with_parent
from loadtests.misbehaviour.profiles import PROFILES, Limits, Profile
from loadtests.mix import Mix, Request
from loadtests.open_loop.exchanges import Exchanges
from loadtests.report import as_table, cell, conditions, rounded

__all__ = ["Findings", "limits_stated", "main", "run_profile", "shortcomings"]

_HEAD = (
    "profile", "what they got", "requests", "failed",
    "p50 alone", "beside", "p95 alone", "beside", "after", "ratio", "verdict",
)  # fmt: skip
_HELP = {
    "rate": "requests a second of the well-behaved client",
    "alone": "seconds without the others, before and after them",
    "seconds": "for which the others open connections",
    "hold": "seconds in which the server must have ended a connection",
    "deadline": "seconds in which the server answers what it permits",
    "noise_ms": "by which the p95 may always grow",
    "seed": "of the well-behaved client",
}
_MAY_BE_0 = ("json", "noise_ms", "seed")
_MOST_RATIO = 2.0
_NEVER = ("101", "500", "502", "open", "unbounded")
Findings = dict[str, Any]
"""What came of one profile, as the line of JSON has it: `misbehaving` has outcomes of connections,
`alone`, `beside` and `after` the figures of the well-behaved client, `ratio` is p95 beside over p95
alone, `shortcomings` say what must not be."""


def run_profile(
    name: str, url: str, limits: Limits, requests: Sequence[Request], plan: Plan, others: Executor
) -> Findings:
    """Measures the well-behaved client alone, beside those of a profile, and alone again.

    Raises:
        LoadTestError: more files must be open than the system allows.
    """
    allow_open_files(PROFILES[name])
    rate, seed = plan.rate / 2, plan.seed
    kept = SteadyLoad(url, requests, rate=rate, seed=seed)
    new = SteadyLoad(url, requests, rate=rate, seed=seed + 1, headers=["Connection: close"])
    with kept, new:
        time.sleep(plan.alone)
        began = kept.elapsed
        got = others.submit(attack, name, url, limits, plan).result()
        ended = kept.elapsed
        time.sleep(plan.alone)
    exchanges = Exchanges.joined([kept.exchanges, new.exchanges])
    found: Findings = {"profile": name, "misbehaving": got}
    phases = {"alone": (0.0, began), "beside": (began, ended), "after": (ended, math.inf)}
    for phase, (first, last) in phases.items():
        part = exchanges.planned_between(first, last)
        found[phase] = part.figures() | {"faults": tally_of(part)["faults"]}
    beside, alone = found["beside"]["p95_ms"], found["alone"]["p95_ms"]
    found["ratio"] = rounded(beside / alone) if beside and alone else None
    return found | {"shortcomings": shortcomings(found, PROFILES[name], plan)}


def shortcomings(found: Findings, profile: Profile, plan: Plan) -> list[str]:
    """What must not be; nothing if the deployment bears the profile."""
    alone, problems = found["alone"]["p95_ms"], []
    if alone is None or found["alone"]["failed"]:
        return ["all requests must be answered before anyone misbehaves"]
    most = max(_MOST_RATIO * alone, alone + plan.noise_ms)
    for phase in ("beside", "after"):
        failed, p95 = found[phase]["failed"], found[phase]["p95_ms"]
        if failed:
            problems.append(f"no request may fail, but {failed} did {phase}")
        if p95 is None or p95 > most:
            problems.append(f"p95 {phase} must be at most {cell(most)} ms, but is {cell(p95)}")
    if set(found["misbehaving"]) == {"no connection"}:
        problems.append("some of those that misbehave must find a connection, but none did")
    for outcome, those in found["misbehaving"].items():
        is_refusal = outcome.startswith("4") or outcome in ("501", "closed")
        if outcome in _NEVER or (profile.is_refused and not is_refusal):
            problems.append(f"no connection may end as {outcome}, but {those['connections']} did")
    return problems


def limits_stated(url: str, limits: Limits) -> Limits:
    """The limits that /openapi.json states, and those given where it states none."""
    document = httpx.get(f"{url}/openapi.json", timeout=10, trust_env=False)
    schemas = document.json()["components"]["schemas"] if document.is_success else {}
    fields = schemas.get("GenerationOptions", {}).get("properties", {})
    stated: dict[str, Any] = {
        name: int(choice["maximum"])
        for name, field in fields.items()
        for choice in (field, *field.get("anyOf", ()))
        if "maximum" in choice and name in asdict(limits)
    }
    return replace(limits, **stated)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the profiles one after the other, and all of them whatever becomes of one.

    Returns:
        1 if anything was found that must not be, or a profile could not be run; else 0.
    """
    started, options = datetime.now(UTC), _options(arguments)
    plan = Plan(**{name: getattr(options, name) for name in asdict(Plan())})
    limits = Limits(**{name: getattr(options, name) for name in asdict(Limits())})
    mix = Mix("sentences", Corpus.read(), limits.source, limits.target)
    found, is_well = [], True
    try:
        requests = ask_once(options.url, seed=plan.seed, mix=mix)
        limits = limits_stated(options.url, limits)
    except LoadTestError as error:
        _say(str(error))
        return 1
    # In a process of their own: what they do must not hold up the client that is measured.
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawned, initializer=end_with_parent) as others:
        for name in options.profiles or PROFILES:
            _say(f"{name}: {PROFILES[name].title}")
            try:
                found.append(run_profile(name, options.url, limits, requests, plan, others))
                problems = found[-1]["shortcomings"]
            except LoadTestError as error:
                problems = [str(error)]
            for problem in problems:
                _say(f"{name}: {problem}")
            is_well = is_well and not problems
    if not options.json:
        print(as_table((_HEAD, [_cells(one) for one in found]), "github"))
    facts = {"plan": asdict(plan), "limits": asdict(limits), "profiles": found}
    facts |= conditions(started, ("polyhead", "ray"))
    print(json.dumps({"bench": "misbehaviour", **facts}))
    return 0 if is_well else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.misbehaviour",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help=", ".join(PROFILES))
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the deployment")
    parser.add_argument("--json", action="store_true", help="no table, only the JSON line")
    for name, value in (asdict(Plan()) | asdict(Limits())).items():
        flag, help_ = "--" + name.replace("_", "-"), _HELP.get(name, "what a request may have")
        parser.add_argument(flag, type=type(value), default=value, help=help_)
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.profiles if name not in PROFILES]:
        parser.error(f"a profile must be one of {', '.join(PROFILES)}, but is {unknown[0]}")
    options.url = options.url.rstrip("/")
    if urlsplit(options.url).scheme != "http" or not urlsplit(options.url).hostname:
        parser.error(f"--url must be http://HOST[:PORT], but is {options.url}")
    for name, value in vars(options).items():
        if isinstance(value, float | int) and not (0 < value < math.inf or name in _MAY_BE_0):
            parser.error(f"--{name.replace('_', '-')} must be a number > 0, but is {value}")
    return options


def _cells(one: Findings) -> tuple[str, ...]:
    got = ", ".join(
        f"{those['connections']} {outcome} ({those['median_seconds']:.1f} s)"
        for outcome, those in one["misbehaving"].items()
    )
    alone, beside, after = one["alone"], one["beside"], one["after"]
    return (
        one["profile"],
        got,
        str(beside["requests"] + after["requests"]),
        str(beside["failed"] + after["failed"]),
        *(cell(part["p50_ms"]) for part in (alone, beside)),
        *(cell(part["p95_ms"]) for part in (alone, beside, after)),
        "-" if one["ratio"] is None else f"{one['ratio']:.1f}",
        "failed" if one["shortcomings"] else "passed",
    )


if __name__ == "__main__":
    sys.exit(main())
