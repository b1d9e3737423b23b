"""What a load test has found, and what must be known before it is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from loadtests.open_loop.exchanges import Exchanges, percentile
from loadtests.open_loop.memory import Memory
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload import verdict
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.planned import Ending
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.steps import Knee, Step, find_knee, latency_limit, steps_of
from loadtests.open_loop.thresholds import at_least, at_most

__all__ = ["Result"]

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
    """Of the service, if it was looked at."""

    @property
    def seconds(self) -> float:
        """In which load was offered."""
        return min(self.elapsed, self.profile.seconds)

    @property
    def offered(self) -> float:
        """Requests a second that were planned."""
        return len(self.exchanges) / self.seconds

    @property
    def throughput(self) -> float:
        """Right answers a second, of those that came while load was offered."""
        return self.exchanges.answered_between(0.0, self.seconds) / self.seconds

    @cached_property
    def steps(self) -> list[Step]:
        """Those that were offered wholly."""
        return steps_of(self.exchanges, self.profile, until=self.elapsed)

    @property
    def peak_throughput(self) -> float | None:
        """Right answers a second in the best step; None without steps."""
        return max((step.throughput for step in self.steps), default=None)

    @property
    def limit(self) -> float | None:
        """Seconds that the p95 of a step may be."""
        return latency_limit(self.steps, self.options.knee_seconds)

    @property
    def knee(self) -> Knee | None:
        """Up to where the service kept up."""
        return find_knee(self.steps, self.limit)

    @property
    def failure_share(self) -> float:
        """Failed or not sent, of the requests that have come to an end.

        To refuse is no failure for a service that is overloaded on purpose.
        """
        ended = int((~self.exchanges.unfinished).sum())
        failed = int((self.exchanges.failed | self.exchanges.unsent).sum())
        if self.overload is not None:
            failed = self.overload.failed
        return failed / ended if ended else 0.0

    def misses(self) -> list[str]:
        """What the thresholds ask for and was not reached; nothing, if the test was passed.

        Their percentiles are those of all requests: whoever loses the slow ones gains nothing.
        """
        wanted = self.options.thresholds
        found = []
        for share, most in ((0.95, wanted.max_p95_ms), (0.99, wanted.max_p99_ms)):
            seconds = self.exchanges.latency_of_all(share)
            milliseconds = None if seconds is None else 1e3 * seconds
            lost = "too many requests were lost"
            found.append(
                at_most(f"p{100 * share:.0f}", milliseconds, most, unit=" ms", without=lost)
            )
        knee = None if self.knee is None else self.knee.step.offered
        found += [
            at_most("the share of failures", self.failure_share, wanted.max_failures),
            at_least("throughput", self.throughput, wanted.min_throughput, unit=" requests/s"),
            at_least("the knee", knee, wanted.min_knee, unit=" requests/s"),
        ]
        if self.overload is not None:
            found += verdict.misses(self.overload, wanted)
        if self.memory is not None:
            growth, short = self.memory.growth, "was not seen for long enough"
            name = "the growth of memory"
            found.append(at_most(name, growth, wanted.max_memory_growth, unit=" %", without=short))
        return [miss for miss in found if miss is not None]

    def notes(self) -> list[str]:
        """What whoever reads the figures must know; nothing, if all was as it should be."""
        found = []
        if self.ending is Ending.INTERRUPTED:
            of = "" if self.overload else f" of {self.profile.seconds:.0f}"
            found.append(f"it was interrupted after {self.seconds:.0f}{of} s")
        if unfinished := self.exchanges.unfinished.sum():
            found.append(f"{unfinished} requests were under way when it ended")
        if unsent := self.exchanges.unsent.sum():
            found.append(
                f"{unsent} requests were not sent: all {self.options.places} places "
                f"in flight were taken for {self.options.max_wait:g} s"
            )
        late = percentile(self.exchanges.send_delays, 0.99)
        if late is not None and late > _LATE_SECONDS:
            found.append(
                f"1 % of the requests were sent {1e3 * late:.0f} ms late or later: there was no "
                "place in flight, or no CPU for the load generator"
            )
        if _is_local(self.options.url):
            found.append("the load generator shared the machine with the service")
        if self.overload is not None:
            found += verdict.notes(self.overload)
        return found + self._notes_on_steps()

    def _notes_on_steps(self) -> list[str]:
        found = []
        first = int(self.steps[0].exchanges.right.sum()) if self.steps else _FEW
        if first < _FEW and self.options.knee_p95_ms is None:
            found.append(f"the limit of p95 rests on only {first} answers of the first step")
        if self.knee is not None and not self.knee.saturated:
            found.append("the highest rate was borne: the knee lies beyond")
        return found


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
