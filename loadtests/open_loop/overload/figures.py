"""What an overload has shown: numbers in, numbers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from itertools import pairwise

import numpy as np

from loadtests.open_loop.exchanges import Exchanges, percentile
from loadtests.open_loop.profiles import Profile, ProfileName, constant

__all__ = ["Overload", "Phase", "PhaseName", "turns", "unanswered"]

_DEADLINE_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT)
"""How a service says that the time was up."""

_SETTLE_SECONDS = 2.0
"""After another rate, until what it has left in the queues is gone."""
_SETTLE_SHARE = 0.25
"""Of a phase, at most so much for that."""
_TURN_SECONDS = 20.0
"""Long enough for queues and memory to show what they do, short enough that a machine which changes
its pace from minute to minute does so for both."""
_WINDOW_SECONDS = 1.0
_WINDOW_STEP_SECONDS = 0.1
_QUICK_SHARE = 0.9
"""Of a window's requests, as many must be answered as quickly as 95 % were before: a window of a
hundred misses that by chance once in thirty times, and the next one has another try."""


class PhaseName(StrEnum):
    """What a phase is for."""

    SEARCH = "search"
    """For the peak: one phase for each rate."""
    BEFORE = "before"
    """A low rate, for comparison with what comes after."""
    OVERLOAD = "overload"
    """Much more than the peak. Turns with the next: see `turns`."""
    PEAK = "peak"
    """The rate of the best answers, for comparison."""
    AFTER = "after"
    """The low rate again."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the test at one rate. Seconds since the beginning of the test."""

    name: PhaseName
    rate: float
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended - self.began

    @property
    def settled(self) -> float:
        """From when on it shows its own rate alone."""
        return self.began + min(_SETTLE_SECONDS, _SETTLE_SHARE * self.seconds)


@dataclass(frozen=True, kw_only=True)
class Overload:
    """Everything that was seen, and what it comes to."""

    exchanges: Exchanges
    phases: Sequence[Phase]
    """The last one may have been cut short."""
    elapsed: float
    """Seconds from the first request to the end of everything."""
    peak_is_known: bool
    """False if the service bore all that was offered in the search."""
    deadline: float | None
    """Seconds, as the requests said."""
    generator_cpu_seconds: float
    """What the load generator used in the turns of overload."""

    @property
    def profile(self) -> Profile:
        """The rates that were offered."""
        segments = tuple(constant(phase.rate, phase.seconds) for phase in self.phases)
        return Profile(name=ProfileName.OVERLOAD, segments=segments)

    def all(self, name: PhaseName) -> list[Phase]:
        """Those of that name, in their order."""
        return [phase for phase in self.phases if phase.name is name]

    def planned_in(self, *phases: Phase) -> Exchanges:
        """The requests that were planned for them."""
        return Exchanges.joined(
            [self.exchanges.planned_between(phase.began, phase.ended) for phase in phases]
        )

    def goodput_in(self, *phases: Phase) -> float | None:
        """Right answers a second, of those that came in them, whenever they were planned; None
        without phases.

        What came while a phase settled does not count: it is due to the one before.
        """
        if not phases:
            return None
        answered = sum(
            self.exchanges.answered_between(phase.settled, phase.ended) for phase in phases
        )
        return answered / sum(phase.ended - phase.settled for phase in phases)

    @cached_property
    def overloaded(self) -> Exchanges:
        """The requests that were planned for the turns of overload."""
        return self.planned_in(*self.all(PhaseName.OVERLOAD))

    @cached_property
    def goodput(self) -> float | None:
        """Right answers a second in the turns of overload; None if there were none."""
        return self.goodput_in(*self.all(PhaseName.OVERLOAD))

    @cached_property
    def peak(self) -> float | None:
        """Right answers a second in the turns of the peak; None if there were none."""
        return self.goodput_in(*self.all(PhaseName.PEAK))

    @property
    def overload_seconds(self) -> float:
        """Length of the turns of overload together."""
        return sum(phase.seconds for phase in self.all(PhaseName.OVERLOAD))

    @property
    def generator_cpu(self) -> float | None:
        """Of one core, what the load generator used during the overload; None if there was none."""
        seconds = self.overload_seconds
        return self.generator_cpu_seconds / seconds if seconds else None

    @property
    def goodput_share(self) -> float | None:
        """Of the peak; None if one of the two is missing."""
        return self.goodput / self.peak if self.goodput is not None and self.peak else None

    @property
    def turn_shares(self) -> list[float]:
        """The same of each pair of neighbouring turns alone, in their order: how sure it is."""
        turns = [one for one in self.phases if one.name in (PhaseName.OVERLOAD, PhaseName.PEAK)]
        shares = []
        for first, second in pairwise(turns):
            peak, high = (first, second) if first.name is PhaseName.PEAK else (second, first)
            at_peak, at_high = self.goodput_in(peak), self.goodput_in(high)
            if at_peak and at_high is not None:
                shares.append(at_high / at_peak)
        return shares

    @cached_property
    def refused(self) -> Exchanges:
        """All refusals of the whole test."""
        return self.exchanges.where(self.exchanges.refused)

    @property
    def refusals_by_status(self) -> Counter[int]:
        """How often each status said it."""
        return Counter(map(int, self.refused.rows["status"]))

    def refusal_seconds(self, share: float) -> float | None:
        """From the sending, within which this share of the overload's refusals came."""
        return percentile(self.overloaded.seconds[self.overloaded.refused], share)

    def accepted_seconds(self, share: float) -> float | None:
        """The same of the right answers to what was planned for the overload."""
        return percentile(self.overloaded.seconds[self.overloaded.right], share)

    def send_delay(self, share: float) -> float | None:
        """Seconds by which so many requests of the overload were sent late at most."""
        return percentile(self.overloaded.send_delays, share)

    @property
    def without_retry_after(self) -> float:
        """Share of the refusals that do not say when to come back; 0 if there are none."""
        told = self.refused.rows["has_retry_after"]
        return 1.0 - float(told.mean()) if len(told) else 0.0

    @property
    def late(self) -> int | None:
        """Accepted requests that were not answered within their deadline; None without one."""
        if self.deadline is None:
            return None
        out_of_time = np.isin(self.exchanges.rows["status"], _DEADLINE_STATUSES)
        slow = self.exchanges.right & (self.exchanges.seconds > self.deadline)
        return int((out_of_time | slow).sum())

    @property
    def failed(self) -> int:
        """Requests that were neither answered rightly nor refused; never sent counts."""
        return unanswered(self.exchanges)

    @cached_property
    def quick_seconds(self) -> float | None:
        """Within which 95 % of the requests were answered rightly before the overload."""
        phases = self.all(PhaseName.BEFORE)
        if not phases:
            return None
        planned = self.exchanges.planned_between(phases[-1].settled, phases[-1].ended)
        return percentile(planned.seconds[planned.right], 0.95)

    @cached_property
    def recovery_seconds(self) -> float | None:
        """From the end of the overload to the first second in which requests were answered as
        quickly as before.

        None if that was not seen.
        """
        phases, quick = self.all(PhaseName.AFTER), self.quick_seconds
        if not phases or quick is None:
            return None
        steps = int((phases[-1].seconds - _WINDOW_SECONDS) / _WINDOW_STEP_SECONDS + 1e-9)
        for step in range(steps + 1):
            after = step * _WINDOW_STEP_SECONDS
            began = phases[-1].began + after
            window = self.exchanges.planned_between(began, began + _WINDOW_SECONDS)
            good = window.right & (window.seconds <= quick)
            if len(window) and good.mean() >= _QUICK_SHARE:
                return after
        return None


def unanswered(exchanges: Exchanges) -> int:
    """How many were neither answered rightly nor refused; never sent counts."""
    return int((exchanges.unsent | (exchanges.failed & ~exchanges.refused)).sum())


def turns(seconds: float) -> list[tuple[PhaseName, float]]:
    """So many seconds of overload and as many of the peak, in turns of about 20 s.

    It begins and ends with half a turn of overload: the middles of both are the same, and a machine
    that slowly changes its pace is no advantage to either.
    """
    pairs = max(1, round(seconds / _TURN_SECONDS))
    whole = seconds / pairs
    high, peak = PhaseName.OVERLOAD, PhaseName.PEAK
    between = [(high, whole), (peak, whole)] * (pairs - 1)
    return [(high, whole / 2), (peak, whole), *between, (high, whole / 2)]
