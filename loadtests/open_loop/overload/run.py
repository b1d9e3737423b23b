"""The phases of an overload: find the peak, offer it and a multiple of it in turns, let go."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Sequence

import uvloop

from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.load import Ending
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.connection import Client
from loadtests.open_loop.overload.exchange import Exchange
from loadtests.open_loop.overload.figures import (
    Overload,
    Phase,
    PhaseName,
    answered_between,
    turns,
)
from loadtests.open_loop.overload.generator import Generator
from loadtests.open_loop.overload.search import Peak, Trial, find_peak

__all__ = ["overload"]

_LOW_SHARE = 0.25
"""Of the peak: before and after the overload."""
_LOW_SECONDS = 12.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def overload(options: LoadTestOptions) -> tuple[Overload, Ending]:
    """Runs it until it is over or a signal ends it; progress is on stderr."""
    return uvloop.run(_Run(options).run())


class _Run:
    def __init__(self, options: LoadTestOptions) -> None:
        self._options = options
        self._phases: list[Phase] = []
        self._peak: Peak | None = None
        self._cpu_seconds = 0.0

    async def run(self) -> tuple[Overload, Ending]:
        """See `overload`."""
        async with Client(self._options.url) as client:
            self._generator = Generator(self._options, client)
            # Ten thousands of requests are kept: the collector need not look through all of them
            # again and again.
            gc.freeze()
            gc.set_threshold(100_000)
            task = asyncio.create_task(self._all_phases())
            loop = asyncio.get_running_loop()
            for number in _STOP_SIGNALS:
                loop.add_signal_handler(number, task.cancel)
            ending = Ending.COMPLETE
            try:
                await task
            except asyncio.CancelledError:
                ending = Ending.INTERRUPTED
            left = self._generator.stop()
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)
        return self._result(left), ending

    async def _all_phases(self) -> None:
        self._peak = await find_peak(
            self._try,
            first=self._options.rate,
            highest=self._options.highest_rate,
            longest=self._options.overload_seconds,
        )
        best = self._peak.trial
        if not best.goodput:
            raise LoadTestError(f"the search saw no right answer: {self._first_fault()}")
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

    def _first_fault(self) -> str:
        faults = (one.fault for one in self._generator.exchanges if one.fault is not None)
        return next(faults, "nothing could be sent")

    async def _try(self, rate: float, seconds: float) -> Trial:
        """One rate of the search. What the one before has left in the queues does not count."""
        phase = await self._phase(PhaseName.SEARCH, rate, seconds)
        exchanges = self._generator.exchanges
        planned = sum(
            phase.settled <= one.planned < phase.ended
            for one in (*exchanges, *self._generator.under_way.values())
        )
        return Trial(
            rate=rate,
            planned=planned,
            answered=answered_between(exchanges, phase.settled, phase.ended),
            seconds=phase.ended - phase.settled,
        )

    async def _phase(self, name: PhaseName, rate: float, seconds: float) -> Phase:
        """One phase; a line on stderr says how it went."""
        began = self._phases[-1].ended if self._phases else 0.0
        self._phases.append(Phase(name=name, rate=rate, began=began, ended=began + seconds))
        await self._generator.offer(rate, seconds)
        right = answered_between(self._generator.exchanges, began, began + seconds)
        print(
            f"polyhead: {name}, {seconds:g} s: {rate:.1f} requests/s offered, "
            f"{right / seconds:.1f} answered rightly",
            file=sys.stderr,
            flush=True,
        )
        return self._phases[-1]

    def _result(self, left: Sequence[Exchange]) -> Overload:
        elapsed = self._generator.elapsed
        if self._phases and self._phases[-1].ended > elapsed:  # cut short
            last = self._phases.pop()
            if elapsed > last.began:
                self._phases.append(
                    Phase(name=last.name, rate=last.rate, began=last.began, ended=elapsed)
                )
        return Overload(
            exchanges=[*self._generator.exchanges, *left],
            phases=self._phases,
            elapsed=elapsed,
            peak_is_known=self._peak is not None and self._peak.saturated,
            deadline=self._options.deadline,
            generator_cpu_seconds=self._cpu_seconds,
        )
