"""What a load test has found: the one object of figures that all reports tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from loadtests.open_loop.exchanges import Exchanges, percentile
from loadtests.open_loop.generator import Ending
from loadtests.open_loop.memory import Memory
from loadtests.open_loop.options import THRESHOLDS, LoadTestOptions, misses
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.profiles import Profile
from loadtests.report import ms, rounded

__all__ = [
    "Result",
    "find_knee",
    "is_saturated",
    "latency_limit",
    "num_settled",
    "steps_of",
]

_LEAST_GOODPUT = 0.95
"""Share of the requests of a step that holds which are answered, and rightly."""
_SLOWDOWN = 5.0
"""Over the first step. In the simplest queue (Poisson arrivals, exponential service, one server)
any percentile of the latency is 1 / (1 - load) times that of an idle one: five times at 80 %."""
_SETTLE_SECONDS = 3.0
"""After a step, before it is judged while the test runs: its last answers are on their way."""
_MISSES = 2
"""This many steps in a row that do not hold end the search: one may have had bad luck."""

Step = dict[str, Any]
"""The figures of a stretch of the test at one rate, as the line of JSON has them."""


def steps_of(exchanges: Exchanges, profile: Profile, *, until: float) -> list[Step]:
    """The steps of a profile that were over `until` seconds after the beginning.

    A request belongs to the step it was planned for, a right answer counts in the throughput of
    the step in which it came.
    """
    found = []
    for began, ended in profile.steps:
        if ended > until:
            break
        planned = exchanges.planned_between(began, ended)
        seconds = ended - began
        found.append(
            {
                "began": began,
                "ended": ended,
                "offered": rounded(len(planned) / seconds),
                "throughput": rounded(exchanges.answered_between(began, ended) / seconds),
                "goodput": round(float(planned.right.mean()), 4) if len(planned) else 0.0,
                **planned.figures(),
            }
        )
    return found


def latency_limit(steps: Sequence[Step], wanted: float | None) -> float | None:
    """Milliseconds that the p95 of a step may be.

    Args:
        wanted: what the user says; None takes five times the p95 of the first step.

    Returns:
        None if nobody has said and the first step has no answers.
    """
    first = steps[0]["p95_ms"] if steps else None
    return wanted if wanted is not None or first is None else rounded(_SLOWDOWN * first)


def holds(step: Step, limit: float | None) -> bool:
    """Whether the service kept up: its goodput, and a p95 of at most `limit` milliseconds."""
    p95 = step["p95_ms"]
    in_time = p95 is not None and limit is not None and p95 <= limit
    return in_time and step["goodput"] >= _LEAST_GOODPUT


def find_knee(steps: Sequence[Step], limit: float | None) -> dict[str, Any] | None:
    """The highest step that holds, of those before the first two in a row that do not.

    Returns:
        None if there were no steps, or even the first ones did not hold. `saturated` is false if
        the service still kept up at the highest rate: then its knee lies beyond.
    """
    held: Step | None = None
    misses = 0
    for step in steps:
        misses = 0 if holds(step, limit) else misses + 1
        if misses == _MISSES:
            break
        if not misses and (held is None or step["offered"] > held["offered"]):
            held = step
    if held is None:
        return None
    return {name: held[name] for name in ("offered", "throughput", "p95_ms")} | {
        "saturated": misses > 0
    }


def num_settled(profile: Profile, elapsed: float) -> int:
    """How many steps can be judged `elapsed` seconds after the beginning of a running test."""
    return sum(ended <= elapsed - _SETTLE_SECONDS for _, ended in profile.steps)


def is_saturated(
    exchanges: Exchanges, profile: Profile, wanted: float | None, *, elapsed: float
) -> bool:
    """Whether a test that is running has found the knee, so that higher steps add nothing."""
    steps = steps_of(exchanges, profile, until=elapsed - _SETTLE_SECONDS)
    limit = latency_limit(steps, wanted)
    last = steps[-_MISSES:]
    return len(last) == _MISSES and not any(holds(step, limit) for step in last)


SCHEMA = 1
_LATE_SECONDS = 0.02
_FEW = 100
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
_BUSY_GENERATOR = 0.25
"""Share of a core: more than that is missed by a service on the same machine."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that was measured, and under what conditions."""

    options: LoadTestOptions
    profile: Profile
    """That was offered."""
    exchanges: Exchanges
    """At least one."""
    elapsed: float
    """Seconds from the beginning to the end of everything."""
    ending: Ending
    model: str | None
    """That answered, if it gave its name."""
    conditions: Mapping[str, Any]
    """As `loadtests.report.conditions` tells them."""
    overload: Overload | None = None
    """What only that profile shows."""
    memory: Memory | None = None
    """Memory of the service, if it was looked at."""

    @property
    def seconds(self) -> float:
        """In which load was offered."""
        return min(self.elapsed, self.profile.seconds)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """What the line of JSON holds."""
        options = self.options
        values = self._measured()
        return {
            "schema": SCHEMA,
            "profile": options.profile_name,
            "ending": self.ending,
            **values,
            "misses": misses(options.thresholds, values),
            "mix": options.mix,
            "url": options.url,
            "texts": [path.name if path else None for path in (options.text, options.paragraphs)],
            "pair": f"{options.source}-{options.target}",
            "model": self.model,
            "in_flight": options.places,
            "max_wait": options.max_wait,
            "timeout": options.timeout,
            "load_generators": 1,
            "thresholds": {name: options.thresholds.get(name) for name in THRESHOLDS},
            "seed": options.seed,
            "notes": self._notes(values),
            **self.conditions,
        }

    def _measured(self) -> dict[str, Any]:
        exchanges, seconds = self.exchanges, self.seconds
        steps = steps_of(exchanges, self.profile, until=self.elapsed)
        limit = latency_limit(steps, self.options.knee_p95_ms)
        overload = None if self.overload is None else self.overload.figures()
        ended = int((~exchanges.unfinished).sum())
        # To refuse is no failure for a service that is overloaded on purpose.
        failed = int((exchanges.failed | exchanges.unsent).sum())
        failed = failed if overload is None else overload["failed"]
        return {
            "offered": rounded(len(exchanges) / seconds),
            "throughput": rounded(exchanges.answered_between(0.0, seconds) / seconds),
            "peak_throughput": max((step["throughput"] for step in steps), default=None),
            "failure_share": round(failed / ended, 6) if ended else 0.0,
            **exchanges.figures(),
            "p95_ms_of_all": ms(exchanges.latency_of_all(0.95)),
            "p99_ms_of_all": ms(exchanges.latency_of_all(0.99)),
            "faults": dict(exchanges.faults.most_common()),
            "knee": find_knee(steps, limit),
            "kinds": {kind: part.figures() for kind, part in exchanges.kinds.items()},
            "steps": [step | {"holds": holds(step, limit)} for step in steps],
            "p95_limit_ms": limit,
            "send_delay_p99_ms": ms(percentile(exchanges.send_delays, 0.99)),
            "seconds": rounded(seconds),
            "segments": [asdict(segment) for segment in self.profile.segments],
            "overload": overload,
            "memory": None if self.memory is None else self.memory.figures(),
        }

    def _notes(self, values: dict[str, Any]) -> list[str]:
        """What whoever reads the figures must know; nothing, if all was as it should be."""
        found, options = [], self.options
        if self.ending is Ending.INTERRUPTED:
            of = "" if self.overload else f" of {self.profile.seconds:.0f}"
            found.append(f"it was interrupted after {self.seconds:.0f}{of} s")
        if unfinished := values["unfinished"]:
            found.append(f"{unfinished} requests were under way when it ended")
        if unsent := values["not_sent"]:
            found.append(
                f"{unsent} requests were not sent: all {options.places} places "
                f"in flight were taken for {options.max_wait:g} s"
            )
        late = values["send_delay_p99_ms"]
        if late is not None and late > 1e3 * _LATE_SECONDS:
            found.append(
                f"1 % of the requests were sent {late:.0f} ms late or later: there was no "
                "place in flight, or no CPU for the load generator"
            )
        if urlsplit(options.url).hostname in _LOCAL_HOSTS:
            found.append("the load generator shared the machine with the service")
        if values["overload"] is not None:
            found += _notes_on_overload(values["overload"])
        first = values["steps"][0]["right"] if values["steps"] else _FEW
        if first < _FEW and options.knee_p95_ms is None:
            found.append(f"the limit of p95 rests on only {first} answers of the first step")
        if values["knee"] is not None and not values["knee"]["saturated"]:
            found.append("the highest rate was borne: the knee lies beyond")
        return found


def _notes_on_overload(figures: dict[str, Any]) -> list[str]:
    found = []
    if not figures["peak_is_known"]:
        found.append("the service bore all that the search offered: its peak lies beyond")
    cpu = figures["generator_cpu"]
    if cpu is not None and cpu > _BUSY_GENERATOR:
        found.append(f"the load generator used {cpu:.0%} of a core during the overload")
    ended = any(phase["name"] == "after" for phase in figures["phases"])
    if ended and figures["recovery_seconds"] is None:
        found.append("answers were not seen to become as quick as before")
    return found
