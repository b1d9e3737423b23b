"""What an overload has shown: numbers in, numbers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import numpy as np

from loadtests.open_loop.exchanges import Exchanges, percentile, percentiles
from loadtests.open_loop.profiles import Profile, ProfileName, constant
from loadtests.report import ms, rounded

__all__ = ["Overload", "Phase", "PhaseName", "turns"]

_DEADLINE_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT)
"""How a service says that the time was up."""

_SETTLE_SECONDS = 2.0
"""After another rate, until what it has left in the queues is gone."""
_SETTLE_SHARE = 0.25
"""Share of a phase that is used for that at most."""
_TURN_SECONDS = 20.0
"""Long enough for queues and memory to show what they do, short enough that a machine which changes
its pace from minute to minute does so for both."""
_WINDOW_SECONDS = 1.0
_WINDOW_STEP_SECONDS = 0.1
_QUICK_SHARE = 0.9
"""Share of a window's requests that must be answered as quickly as 95 % were before: a window of a
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
        """The phases of that name, in their order."""
        return [phase for phase in self.phases if phase.name is name]

    def figures(self) -> dict[str, Any]:
        """What the line of JSON holds of it."""
        turns = self.all(PhaseName.OVERLOAD)
        goodput, peak = self._goodput(*turns), self._goodput(*self.all(PhaseName.PEAK))
        overloaded = Exchanges.joined([self._planned(phase) for phase in turns])
        refused = self.exchanges.where(self.exchanges.refused)
        bare = refused.where(~refused.rows["has_retry_after"])
        refusals = percentiles(overloaded.seconds[overloaded.refused], "refusal_")
        seconds = sum(phase.seconds for phase in turns)
        return {
            "peak_goodput": rounded(peak),
            "peak_is_known": self.peak_is_known,
            "goodput": rounded(goodput),
            "goodput_share": round(goodput / peak, 4) if goodput is not None and peak else None,
            "turn_shares": self._turn_shares(),
            "deadline": self.deadline,
            "late": self._late(),
            "refused": len(refused),
            "refusals_by_status": _by_status(refused),
            "without_retry_after_by_status": _by_status(bare),
            "refusal_p50_ms": refusals["refusal_p50_ms"],
            "refusal_p95_ms": refusals["refusal_p95_ms"],
            "without_retry_after": round(len(bare) / len(refused), 6) if len(refused) else 0.0,
            "failed": _num_failed(self.exchanges),
            **percentiles(overloaded.seconds[overloaded.right], "accepted_"),
            "before_p95_ms": ms(self._quick_seconds()),
            "recovery_seconds": rounded(self._recovery_seconds()),
            "send_delay_p99_ms": ms(percentile(overloaded.send_delays, 0.99)),
            "generator_cpu": rounded(self.generator_cpu_seconds / seconds) if seconds else None,
            "phases": [self._phase(phase) for phase in self.phases],
        }

    def _phase(self, phase: Phase) -> dict[str, Any]:
        planned = self._planned(phase)
        times = percentiles(planned.seconds[planned.right])
        return {
            "name": phase.name,
            "began": rounded(phase.began),
            "ended": rounded(phase.ended),
            "rate": rounded(phase.rate),
            "requests": len(planned),
            "goodput": rounded(self._goodput(phase)),
            "refused": int(planned.refused.sum()),
            "failed": _num_failed(planned),
            "p50_ms": times["p50_ms"],
            "p95_ms": times["p95_ms"],
        }

    def _planned(self, phase: Phase) -> Exchanges:
        return self.exchanges.planned_between(phase.began, phase.ended)

    def _goodput(self, *phases: Phase) -> float | None:
        """Right answers a second, of those that came in them, whenever they were planned; None
        without phases.

        What came while a phase settled does not count: it is due to the one before.
        """
        if not phases:
            return None
        came = sum(self.exchanges.answered_between(one.settled, one.ended) for one in phases)
        return came / sum(phase.ended - phase.settled for phase in phases)

    def _turn_shares(self) -> list[float]:
        """Goodput as a share of the peak in each pair of neighbouring turns alone, in their order:
        how sure the whole is.
        """
        turns = [one for one in self.phases if one.name in (PhaseName.OVERLOAD, PhaseName.PEAK)]
        shares = []
        for pair in pairwise(turns):
            goodput = {phase.name: self._goodput(phase) or 0.0 for phase in pair}
            if goodput[PhaseName.PEAK]:
                shares.append(round(goodput[PhaseName.OVERLOAD] / goodput[PhaseName.PEAK], 4))
        return shares

    def _late(self) -> int | None:
        """Accepted requests that were not answered within their deadline; None without one."""
        if self.deadline is None:
            return None
        out_of_time = np.isin(self.exchanges.rows["status"], _DEADLINE_STATUSES)
        slow = self.exchanges.right & (self.exchanges.seconds > self.deadline)
        return int((out_of_time | slow).sum())

    def _quick_seconds(self) -> float | None:
        """Within which 95 % of the requests were answered rightly before the overload."""
        phases = self.all(PhaseName.BEFORE)
        if not phases:
            return None
        planned = self.exchanges.planned_between(phases[-1].settled, phases[-1].ended)
        return percentile(planned.seconds[planned.right], 0.95)

    def _recovery_seconds(self) -> float | None:
        """From the end of the overload to the first second in which requests were answered as
        quickly as before.

        None if that was not seen.
        """
        phases, quick = self.all(PhaseName.AFTER), self._quick_seconds()
        if not phases or quick is None:
            return None
        steps = int((phases[-1].seconds - _WINDOW_SECONDS) / _WINDOW_STEP_SECONDS + 1e-9)
        for after in (step * _WINDOW_STEP_SECONDS for step in range(steps + 1)):
            began = phases[-1].began + after
            window = self.exchanges.planned_between(began, began + _WINDOW_SECONDS)
            good = window.right & (window.seconds <= quick)
            if len(window) and good.mean() >= _QUICK_SHARE:
                return after
        return None


def _num_failed(exchanges: Exchanges) -> int:
    """How many were neither answered rightly nor refused; never sent counts."""
    return int((exchanges.unsent | (exchanges.failed & ~exchanges.refused)).sum())


def _by_status(exchanges: Exchanges) -> dict[str, int]:
    counts = Counter(exchanges.rows["status"].tolist())
    return {str(status): count for status, count in sorted(counts.items())}


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
