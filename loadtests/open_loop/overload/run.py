"""The phases of an overload: find the peak, offer it and a multiple of it in turns, let go."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from loadtests.corpus import LoadTestError
from loadtests.open_loop.generator import Ending, Generator
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.figures import Overload, Phase, PhaseName, turns
from loadtests.open_loop.profiles import constant

__all__ = ["OverloadRun", "Trial", "find_peak"]

_LOW_SHARE = 0.25
"""Share of the peak that is offered before and after the overload."""
_LOW_SECONDS = 12.0
_ROUGH_SECONDS = 4.0
"""Length of a trial that is to show no more than about where the limit is."""
_FINE_SECONDS = 10.0
"""Length of one whose answers are counted: at 300 a second, chance makes 2 % of them."""
_ROUGH_GROWTH = 2.0
_FINE_GROWTH = 1.15
"""Over the best so far: enough to keep the service busy, and little to refuse."""
_SATURATED = 0.8
"""Share of right answers, of the offered requests, below which a service is at its limit."""
_LEAST_GAIN = 0.02
_MISSES = 2
"""This many trials in a row without a gain end the search: one may have had bad luck."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a rate."""

    rate: float
    """Requests a second that were planned, on average."""
    planned: int
    """Requests, in fact."""
    answered: int
    """Right answers that came meanwhile."""
    seconds: float

    @property
    def goodput(self) -> float:
        """Right answers a second."""
        return self.answered / self.seconds

    @property
    def saturated(self) -> bool:
        """Whether so few were answered that chance cannot be why."""
        return self.answered < _SATURATED * self.planned - 2 * math.sqrt(self.planned)


Try = Callable[[float, float], Awaitable[Trial]]
"""Offers a rate for so many seconds."""


async def find_peak(
    attempt: Try, *, first: float, highest: float, longest: float
) -> tuple[Trial, bool]:
    """Doubles the rate until the service is at its end, then counts what it does there.

    Args:
        first: requests a second to begin with, which the service should bear.
        highest: requests a second that are never exceeded.
        longest: seconds of any trial.

    Returns:
        The best trial, which had luck as well: what is compared must be counted anew; and whether
        the service was saturated: if not, its peak may lie beyond `highest`.
    """
    rate = first
    rough_seconds, fine_seconds = min(_ROUGH_SECONDS, longest), min(_FINE_SECONDS, longest)
    rough = await attempt(rate, rough_seconds)
    while not rough.saturated and rate < highest:
        rate = min(highest, _ROUGH_GROWTH * rate)
        rough = await attempt(rate, rough_seconds)
    best: Trial | None = None
    misses = 0
    rate = first
    while misses < _MISSES:
        around = rough.goodput if best is None else best.goodput
        rate = min(highest, max(_FINE_GROWTH * around, rate))
        trial = await attempt(rate, fine_seconds)
        gained = best is None or trial.goodput > (1 + _LEAST_GAIN) * best.goodput
        misses = 0 if gained else misses + 1
        if best is None or trial.goodput > best.goodput:
            best = trial
    assert best is not None
    return best, rough.saturated


class OverloadRun:
    """All phases, once; each is told on stderr."""

    def __init__(self, options: LoadTestOptions, generator: Generator) -> None:
        self._options = options
        self._generator = generator
        self._phases: list[Phase] = []
        self._peak_is_known = False
        self._cpu_seconds = 0.0

    async def run(self) -> Ending:
        """From the search to the last answer."""
        best, self._peak_is_known = await find_peak(
            self._try,
            first=self._options.rate,
            highest=self._options.highest_rate,
            longest=self._options.overload_seconds,
        )
        if not best.goodput:
            fault = next(iter(self._generator.exchanges.faults), "nothing could be sent")
            raise LoadTestError(f"the search saw no right answer: {fault}")
        low = max(_LOW_SHARE * best.goodput, self._options.rate)
        rates = {
            PhaseName.PEAK: best.rate,
            PhaseName.OVERLOAD: max(self._options.factor * best.goodput, low),
        }
        low_seconds = min(_LOW_SECONDS, self._options.overload_seconds)
        await self._phase(PhaseName.BEFORE, low, low_seconds)
        for name, seconds in turns(self._options.overload_seconds):
            cpu = time.process_time()
            try:
                await self._phase(name, rates[name], seconds)
            finally:  # also of a turn that is cut short
                if name is PhaseName.OVERLOAD:
                    self._cpu_seconds += time.process_time() - cpu
        await self._phase(PhaseName.AFTER, low, low_seconds)
        await self._generator.finish()
        return Ending.COMPLETE

    async def _try(self, rate: float, seconds: float) -> Trial:
        """One rate of the search. What the one before has left in the queues does not count."""
        phase = await self._phase(PhaseName.SEARCH, rate, seconds)
        exchanges = self._generator.exchanges
        return Trial(
            rate=rate,
            planned=len(exchanges.planned_between(phase.settled, phase.ended)),
            answered=exchanges.answered_between(phase.settled, phase.ended),
            seconds=phase.ended - phase.settled,
        )

    async def _phase(self, name: PhaseName, rate: float, seconds: float) -> Phase:
        """One phase; a line on stderr says how it went."""
        began = self._phases[-1].ended if self._phases else 0.0
        self._phases.append(Phase(name=name, rate=rate, began=began, ended=began + seconds))
        await self._generator.offer(constant(rate, seconds))
        right = self._generator.exchanges.answered_between(began, began + seconds)
        print(
            f"polyhead: {name}, {seconds:g} s: {rate:.1f} requests/s offered, "
            f"{right / seconds:.1f} answered rightly",
            file=sys.stderr,
            flush=True,
        )
        return self._phases[-1]

    def seen(self, elapsed: float) -> Overload:
        """What there was until `elapsed` seconds after the first request."""
        # The last phase may have been cut short.
        phases = [replace(one, ended=min(one.ended, elapsed)) for one in self._phases]
        return Overload(
            exchanges=self._generator.exchanges,
            phases=[one for one in phases if one.seconds > 0],
            peak_is_known=self._peak_is_known,
            deadline=self._options.deadline,
            generator_cpu_seconds=self._cpu_seconds,
        )
