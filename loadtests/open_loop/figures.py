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
from loadtests.open_loop.overload import verdict
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.session import Ending
from loadtests.open_loop.steps import find_knee, holds, latency_limit, steps_of
from loadtests.open_loop.thresholds import at_least, at_most
from loadtests.report import ms, rounded

__all__ = ["Result"]

SCHEMA = 1
_LATE_SECONDS = 0.02
_FEW = 100


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
            "misses": self._misses(values),
            "mix": options.mix,
            "url": options.url,
            "texts": [path.name if path else None for path in (options.text, options.paragraphs)],
            "pair": f"{options.source}-{options.target}",
            "model": self.model,
            "in_flight": options.places,
            "max_wait": options.max_wait,
            "timeout": options.timeout,
            "load_generators": 1,
            "thresholds": asdict(options.thresholds),
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

    def _misses(self, values: dict[str, Any]) -> list[str]:
        """What the thresholds ask for and was not reached; nothing, if the test was passed.

        Their percentiles are those of all requests: whoever loses the slow ones gains nothing.
        """
        wanted = self.options.thresholds
        found = []
        for share, most in ((0.95, wanted.max_p95_ms), (0.99, wanted.max_p99_ms)):
            value, lost = ms(self.exchanges.latency_of_all(share)), "too many requests were lost"
            found.append(at_most(f"p{100 * share:.0f}", value, most, unit=" ms", without=lost))
        knee = values["knee"] and values["knee"]["offered"]
        found += [
            at_most("the share of failures", values["failure_share"], wanted.max_failures),
            at_least("throughput", values["throughput"], wanted.min_throughput, unit=" requests/s"),
            at_least("the knee", knee, wanted.min_knee, unit=" requests/s"),
        ]
        if values["overload"] is not None:
            found += verdict.misses(values["overload"], wanted)
        if values["memory"] is not None:
            growth, short = values["memory"]["growth_percent"], "was not seen for long enough"
            name = "the growth of memory"
            found.append(at_most(name, growth, wanted.max_memory_growth, unit=" %", without=short))
        return [miss for miss in found if miss is not None]

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
            found += verdict.notes(values["overload"])
        first = values["steps"][0]["right"] if values["steps"] else _FEW
        if first < _FEW and options.knee_p95_ms is None:
            found.append(f"the limit of p95 rests on only {first} answers of the first step")
        if values["knee"] is not None and not values["knee"]["saturated"]:
            found.append("the highest rate was borne: the knee lies beyond")
        return found


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
