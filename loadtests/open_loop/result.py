"""What a load test has found, and what must be known before it is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from loadtests.bench.machine import Hardware
from loadtests.open_loop.load import Ending
from loadtests.open_loop.memory import Memory
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload import verdict
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.record import Record, Tally
from loadtests.open_loop.steps import Knee, Step, find_knee, latency_limit, steps_of

__all__ = ["Result", "milliseconds"]

_LATE_SECONDS = 0.02
_FEW = 100


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that was measured, and under what conditions."""

    options: LoadTestOptions
    profile: Profile
    """That was offered."""
    record: Record
    ending: Ending
    model: str | None
    """That answered, if it gave its name."""
    hardware: Hardware
    """Of the machine that this ran on."""
    versions: Mapping[str, str]
    commit: str | None
    started: str
    """UTC, ISO 8601."""
    overload: Overload | None = None
    """What only that profile shows."""
    memory: Memory | None = None
    """Of the service, if it was looked at."""

    @property
    def seconds(self) -> float:
        """In which load was offered."""
        return min(self.record.elapsed, self.profile.seconds)

    @cached_property
    def total(self) -> Tally:
        """Of all requests."""
        return Tally.sum(self.record.kinds.values())

    @property
    def offered(self) -> float:
        """Requests a second that were planned."""
        return self.total.planned / self.seconds

    @property
    def throughput(self) -> float:
        """Right answers a second, of those that came while load was offered."""
        came = sum(n for second, n in self.record.answered.items() if second < self.seconds)
        return came / self.seconds

    @cached_property
    def steps(self) -> list[Step]:
        """Those that were offered wholly."""
        return steps_of(self.record, self.profile, until=self.record.elapsed)

    @property
    def peak_throughput(self) -> float | None:
        """Right answers a second in the best step; None without steps."""
        return max((step.throughput for step in self.steps), default=None)

    @property
    def limit(self) -> float | None:
        """Seconds that the p95 of a step may be."""
        wanted = self.options.knee_p95_ms
        return latency_limit(self.steps, None if wanted is None else wanted / 1e3)

    @property
    def knee(self) -> Knee | None:
        """Up to where the service kept up."""
        return find_knee(self.steps, self.limit)

    @property
    def failure_share(self) -> float:
        """Failed or not sent, of the requests that have come to an end.

        To refuse is no failure for a service that is overloaded on purpose.
        """
        ended = self.total.planned - self.total.unfinished
        failed = self.total.failed + self.total.unsent
        if self.overload is not None:
            failed = self.overload.failed
        return failed / ended if ended else 0.0

    def misses(self) -> list[str]:
        """What the thresholds ask for and was not reached; nothing, if the test was passed.

        Their percentiles are those of all requests: whoever loses the slow ones gains nothing.
        """
        wanted = self.options.thresholds
        p95, p99 = (self.total.latency_of_all(share) for share in (0.95, 0.99))
        knee = None if self.knee is None else self.knee.step.offered
        found = [
            _slower("p95", p95, wanted.max_p95_ms),
            _slower("p99", p99, wanted.max_p99_ms),
            _more_lost(self.failure_share, wanted.max_failures),
            _below("throughput", self.throughput, wanted.min_throughput),
            _below("the knee", knee, wanted.min_knee),
        ]
        if self.overload is not None:
            found += verdict.misses(self.overload, wanted)
        if self.memory is not None:
            found.append(self.memory.miss(wanted.max_memory_growth))
        return [miss for miss in found if miss is not None]

    def notes(self) -> list[str]:
        """What whoever reads the figures must know; nothing, if all was as it should be."""
        found = []
        if self.ending is Ending.INTERRUPTED:
            of = "" if self.overload else f" of {self.profile.seconds:.0f}"
            found.append(f"it was interrupted after {self.seconds:.0f}{of} s")
        if self.total.unfinished:
            found.append(f"{self.total.unfinished} requests were under way when it ended")
        if self.total.unsent:
            found.append(
                f"{self.total.unsent} requests were not sent: all {self.options.places} places "
                f"in flight were taken for {self.options.max_wait:g} s"
            )
        late = self.record.delays.percentile(0.99)
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
        if self.steps and self.steps[0].tally.right < _FEW and self.options.knee_p95_ms is None:
            found.append(
                f"the limit of p95 rests on only {self.steps[0].tally.right} answers of the first "
                "step"
            )
        if self.knee is not None and not self.knee.saturated:
            found.append("the highest rate was borne: the knee lies beyond")
        return found


def milliseconds(tally: Tally, share: float) -> float | None:
    """That this share of the right answers took at most; None if there are none."""
    seconds = tally.latencies.percentile(share)
    return None if seconds is None else 1e3 * seconds


def _slower(name: str, seconds: float | None, most_ms: float | None) -> str | None:
    if most_ms is None or (seconds is not None and 1e3 * seconds <= most_ms):
        return None
    was = "too many requests were lost" if seconds is None else f"is {1e3 * seconds:.4g} ms"
    return f"{name} must be at most {most_ms:g} ms, but {was}"


def _more_lost(share: float, most: float | None) -> str | None:
    if most is None or share <= most:
        return None
    return f"the share of failures must be at most {most:g}, but is {share:.4g}"


def _below(name: str, rate: float | None, least: float | None) -> str | None:
    if least is None or (rate is not None and rate >= least):
        return None
    was = "there is none" if rate is None else f"is {rate:.4g}"
    return f"{name} must be at least {least:g} requests/s, but {was}"


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
