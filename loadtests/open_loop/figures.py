"""What a load test has found: the one object of figures that all reports tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from loadtests.open_loop.exchanges import Exchanges, percentile
from loadtests.open_loop.memory import Memory
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.planned import Ending
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.steps import find_knee, holds, latency_limit, steps_of
from loadtests.open_loop.thresholds import THRESHOLDS, misses
from loadtests.report import ms, rounded

__all__ = ["Result"]

SCHEMA = 1
_LATE_SECONDS = 0.02
_FEW = 100
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
        if _is_local(options.url):
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


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
