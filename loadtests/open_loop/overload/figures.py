"""What an overload has shown: numbers in, numbers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

from loadtests.open_loop.overload.exchange import Exchange
from loadtests.open_loop.profiles import Profile, ProfileName, Segment
from loadtests.open_loop.record import Histogram, Record

__all__ = ["Overload", "Phase", "PhaseName", "answered_between", "record_of", "turns"]

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

    exchanges: Sequence[Exchange]
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
        segments = tuple(
            Segment(seconds=phase.seconds, first=phase.rate, last=phase.rate)
            for phase in self.phases
        )
        return Profile(name=ProfileName.OVERLOAD, segments=segments, step_seconds=None)

    def phase(self, name: PhaseName) -> Phase | None:
        """The last one of that name; None if it never came to that."""
        return next((phase for phase in reversed(self.phases) if phase.name is name), None)

    def planned_in(self, phase: Phase) -> list[Exchange]:
        """Those that were planned for it."""
        return [one for one in self.exchanges if phase.began <= one.planned < phase.ended]

    def goodput_in(self, *phases: Phase) -> float:
        """Right answers a second, of those that came in them, whenever they were planned.

        What came while a phase settled does not count: it is due to the one before.
        """
        answered = sum(
            answered_between(self.exchanges, phase.settled, phase.ended) for phase in phases
        )
        return answered / sum(phase.ended - phase.settled for phase in phases)

    def _all(self, name: PhaseName) -> list[Phase]:
        return [phase for phase in self.phases if phase.name is name]

    @cached_property
    def _of_overload(self) -> list[Exchange]:
        turns = self._all(PhaseName.OVERLOAD)
        return [one for phase in turns for one in self.planned_in(phase)]

    @property
    def goodput(self) -> float | None:
        """Right answers a second in the turns of overload; None if there were none."""
        turns = self._all(PhaseName.OVERLOAD)
        return self.goodput_in(*turns) if turns else None

    @property
    def peak(self) -> float | None:
        """Right answers a second in the turns of the peak; None if there were none."""
        turns = self._all(PhaseName.PEAK)
        return self.goodput_in(*turns) if turns else None

    @property
    def overload_seconds(self) -> float:
        """Of all its turns."""
        return sum(phase.seconds for phase in self._all(PhaseName.OVERLOAD))

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
            at_peak = self.goodput_in(peak)
            if at_peak:
                shares.append(self.goodput_in(high) / at_peak)
        return shares

    @cached_property
    def refused(self) -> list[Exchange]:
        """In the whole test."""
        return [one for one in self.exchanges if one.refused]

    @property
    def refusals_by_status(self) -> Counter[int]:
        """How often each status said it."""
        return Counter(one.status for one in self.refused)

    def refusal_seconds(self, share: float) -> float | None:
        """From the sending, within which this share of the overload's refusals came."""
        return _percentile((one.seconds for one in self._of_overload if one.refused), share)

    def accepted_seconds(self, share: float) -> float | None:
        """The same of the right answers to what was planned for the overload."""
        return _percentile((one.seconds for one in self._of_overload if one.right), share)

    def send_delay(self, share: float) -> float | None:
        """Seconds by which so many requests of the overload were sent late at most."""
        sent = (one for one in self._of_overload if one.sent is not None)
        return _percentile((one.sent - one.planned for one in sent if one.sent is not None), share)

    @property
    def without_retry_after(self) -> float:
        """Share of the refusals that do not say when to come back; 0 if there are none."""
        bare = sum(not one.has_retry_after for one in self.refused)
        return bare / len(self.refused) if self.refused else 0.0

    @property
    def late(self) -> int | None:
        """Accepted requests that were not answered within their deadline; None without one."""
        if self.deadline is None:
            return None
        return sum(one.is_late(self.deadline) for one in self.exchanges)

    @property
    def failed(self) -> int:
        """Requests that were neither answered rightly nor refused."""
        return sum(one.failed for one in self.exchanges)

    @cached_property
    def quick_seconds(self) -> float | None:
        """Within which 95 % of the requests were answered rightly before the overload."""
        phase = self.phase(PhaseName.BEFORE)
        if phase is None:
            return None
        planned = [one for one in self.planned_in(phase) if one.planned >= phase.settled]
        return _percentile((one.seconds for one in planned if one.right), 0.95)

    @cached_property
    def recovery_seconds(self) -> float | None:
        """From the end of the overload to the first second in which requests were answered as
        quickly as before.

        None if that was not seen.
        """
        phase, quick = self.phase(PhaseName.AFTER), self.quick_seconds
        if phase is None or quick is None:
            return None
        planned = self.planned_in(phase)
        steps = int((phase.seconds - _WINDOW_SECONDS) / _WINDOW_STEP_SECONDS + 1e-9)
        for step in range(steps + 1):
            after = step * _WINDOW_STEP_SECONDS
            began = phase.began + after
            window = [one for one in planned if began <= one.planned < began + _WINDOW_SECONDS]
            good = sum(_is_quick(one, quick) for one in window)
            if window and good >= _QUICK_SHARE * len(window):
                return after
        return None


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


def answered_between(exchanges: Iterable[Exchange], began: float, ended: float) -> int:
    """Right answers that came then."""
    return sum(
        one.right and one.ended is not None and began <= one.ended < ended for one in exchanges
    )


def record_of(exchanges: Iterable[Exchange], elapsed: float) -> Record:
    """The same as the other profiles keep it, in which a refusal is a fault like others."""
    record = Record(elapsed=elapsed)
    for one in exchanges:
        record.plan(one.kind, int(one.planned))
        if one.sent is None:
            record.leave_unsent(one.kind, int(one.planned))
            continue
        record.send(one.sent - one.planned)
        if one.ended is not None:
            record.answer(one.kind, one.planned, one.ended, one.fault)
    return record


def _is_quick(one: Exchange, limit: float) -> bool:
    return one.right and one.seconds is not None and one.seconds <= limit


def _percentile(durations: Iterable[float | None], share: float) -> float | None:
    histogram = Histogram()
    for seconds in durations:
        if seconds is not None:
            histogram.add(seconds)
    return histogram.percentile(share)
