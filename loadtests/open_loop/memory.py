"""The memory of a service on this machine while it is under load: is it flat?"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psutil

from loadtests.gateway_cost.processes import kind_of
from loadtests.open_loop.errors import LoadTestError

__all__ = ["Memory", "MemoryWatch", "Sample"]

_PERIOD_SECONDS = 5.0
"""A look takes some 3 ms for each process."""
_MEGABYTE = 1e6
_HOUR = 3600.0
_MAIN = "polyhead serve"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look."""

    seconds: float
    """Since the first one."""
    megabytes: Mapping[str, float]
    """By kind of process. Memory that several processes share counts once, in parts (PSS); where
    the system knows no parts, only what each has for itself (USS)."""

    @property
    def total(self) -> float:
        """Of all processes."""
        return sum(self.megabytes.values())


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How it went. Megabytes are 10^6 bytes."""

    samples: Sequence[Sample]
    """Ascending in time, and at least one."""

    def quarter_mean(self, number: int, kind: str | None = None) -> float | None:
        """Of one quarter of the time, 0 to 3, for one kind or all; None without a look in it."""
        length = self.samples[-1].seconds / 4
        found = [
            one.total if kind is None else one.megabytes.get(kind, 0.0)
            for one in self.samples
            if length and min(3, int(one.seconds / length)) == number
        ]
        return statistics.fmean(found) if found else None

    @property
    def slope(self) -> float | None:
        """Megabytes an hour in the second half, by least squares; None with fewer than two looks
        there.
        """
        half = [one for one in self.samples if one.seconds >= self.samples[-1].seconds / 2]
        if len(half) < 2:
            return None
        hours = [one.seconds / _HOUR for one in half]
        return statistics.linear_regression(hours, [one.total for one in half]).slope

    @property
    def growth(self) -> float | None:
        """Percent by which the mean of the last quarter is above that of the second.

        The first one is left out, in which caches fill and connections are made.
        """
        second, last = self.quarter_mean(1), self.quarter_mean(3)
        return None if not second or last is None else 100 * (last / second - 1)

    @property
    def kinds(self) -> list[str]:
        """Of processes, those with most at their peak first."""
        peaks: dict[str, float] = {}
        for one in self.samples:
            for kind, megabytes in one.megabytes.items():
                peaks[kind] = max(megabytes, peaks.get(kind, 0.0))
        return sorted(peaks, key=lambda kind: -peaks[kind])

    def miss(self, most: float | None) -> str | None:
        """What is to be said if it grew by more than `most` percent; None if it did not."""
        if most is None or (self.growth is not None and self.growth <= most):
            return None
        was = "was not seen for long enough" if self.growth is None else f"is {self.growth:.3g} %"
        return f"the growth of memory must be at most {most:g} %, but {was}"

    def in_words(self) -> str:
        """One line."""
        ends = " to ".join(_cell(self.quarter_mean(quarter)) for quarter in (0, 3))
        growth, slope = self.growth, self.slope
        if growth is None or slope is None:
            return f"Memory: {ends} MB, seen for too short a time to tell how it grows"
        return (
            f"Memory: {ends} MB from the first to the last quarter; {growth:+.2f} % from the "
            f"second to the last; {slope:+.1f} MB an hour in the second half"
        )

    def as_json(self) -> dict[str, Any]:
        """For the line of JSON."""
        return {
            "samples": len(self.samples),
            "quarter_means_mb": [_rounded(self.quarter_mean(number)) for number in range(4)],
            "growth_percent": _rounded(self.growth),
            "slope_mb_per_hour": _rounded(self.slope),
            "largest_mb": _rounded(max(one.total for one in self.samples)),
            "by_process": {
                kind: [_rounded(self.quarter_mean(number, kind)) for number in range(4)]
                for kind in self.kinds
            },
        }

    def courses(self, most: int) -> list[tuple[str, list[float], list[float]]]:
        """(label, seconds, megabytes): the sum, and of `most` kinds of processes."""
        times = [one.seconds for one in self.samples]
        return [
            ("all", times, [one.total for one in self.samples]),
            *(
                (kind, times, [one.megabytes.get(kind, 0.0) for one in self.samples])
                for kind in self.kinds[:most]
            ),
        ]


class MemoryWatch:
    """Looks every few seconds, and once at either end, at a process and all it has started."""

    def __init__(self, pid: int) -> None:
        """Raises LoadTestError if there is no such process, or it may not be looked at."""
        try:
            self._process = psutil.Process(pid)
            _megabytes(self._process)
        except psutil.Error as error:
            raise LoadTestError(f"cannot see the memory of process {pid}: {error.msg}") from error
        self._samples: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def memory(self) -> Memory | None:
        """What was seen, after the `with`; None if the service was gone before the first look."""
        return Memory(samples=self._samples) if self._samples else None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        found: dict[str, float] = {}
        # What has ended since is no error, not even the service as a whole.
        with suppress(psutil.Error):
            for process in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.Error):
                    main = process == self._process
                    kind = _MAIN if main else kind_of(" ".join(process.cmdline()))
                    found[kind] = found.get(kind, 0.0) + _megabytes(process)
        seconds = time.monotonic() - self._began
        if found:
            self._samples.append(Sample(seconds=seconds, megabytes=found))


def _megabytes(process: psutil.Process) -> float:
    memory = process.memory_full_info()
    size: int = getattr(memory, "pss", memory.uss)
    return size / _MEGABYTE


def _cell(megabytes: float | None) -> str:
    return "?" if megabytes is None else f"{megabytes:.0f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
