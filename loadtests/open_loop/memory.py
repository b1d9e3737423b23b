"""The memory of a service on this machine while it is under load: is it flat?"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import psutil

from loadtests.corpus import LoadTestError
from loadtests.open_loop.exchanges import Numbers
from loadtests.processes import family
from loadtests.report import rounded

__all__ = ["Memory", "MemoryWatch"]

_PERIOD_SECONDS = 5.0
"""A look takes some 3 ms for each process."""
_MEGABYTE = 1e6
_HOUR = 3600.0
_MAIN = "polyhead serve"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How it went. Megabytes are 10^6 bytes.

    Memory that several processes share counts once, in parts (PSS); where the system knows no
    parts, only what each has for itself (USS).
    """

    seconds: Numbers
    """Since the first look, ascending; at least one."""
    megabytes: Mapping[str, Numbers]
    """Memory at each look, by kind of process."""

    @property
    def total(self) -> Numbers:
        """Megabytes of all processes, at each look."""
        total: Numbers = np.sum(list(self.megabytes.values()), axis=0)
        return total

    @property
    def kinds(self) -> list[str]:
        """Kinds of processes, those with most memory at their peak first."""
        return sorted(self.megabytes, key=lambda kind: -self.megabytes[kind].max())

    def figures(self) -> dict[str, Any]:
        """What the line of JSON holds of it.

        `growth_percent` is that by which the mean of the last quarter is above that of the second:
        in the first one, caches fill and connections are made.
        """
        means = self._quarter_means(self.total)
        second, last = means[1], means[3]
        growth = None if not second or last is None else 100 * (last / second - 1)
        return {
            "samples": len(self.seconds),
            "quarter_means_mb": list(map(rounded, means)),
            "growth_percent": rounded(growth),
            "slope_mb_per_hour": rounded(self._slope()),
            "largest_mb": rounded(float(self.total.max())),
            "by_process": {
                kind: list(map(rounded, self._quarter_means(self.megabytes[kind])))
                for kind in self.kinds
            },
        }

    def _quarter_means(self, values: Numbers) -> list[float | None]:
        """Mean of each quarter of the time; None without a look in it."""
        quarters = np.minimum(3, self.seconds // (self.seconds[-1] / 4 or math.nan))
        found = [values[quarters == number] for number in range(4)]
        return [float(part.mean()) if len(part) else None for part in found]

    def _slope(self) -> float | None:
        """Megabytes an hour in the second half, by least squares; None with fewer than two looks
        there.
        """
        half = self.seconds >= self.seconds[-1] / 2
        if half.sum() < 2:
            return None
        return float(np.polyfit(self.seconds[half] / _HOUR, self.total[half], 1)[0])


class MemoryWatch:
    """Looks every few seconds, and once at either end, at a process and all it has started."""

    def __init__(self, pid: int) -> None:
        """Raises LoadTestError if there is no such process, or it may not be looked at."""
        try:
            self._process = psutil.Process(pid)
            _megabytes(self._process)
        except psutil.Error as error:
            raise LoadTestError(f"cannot see the memory of process {pid}: {error.msg}") from error
        self._looks: list[tuple[float, dict[str, float]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def memory(self) -> Memory | None:
        """What was seen, after the `with`; None if the service was gone before the first look."""
        if not self._looks:
            return None
        kinds = {kind for _, found in self._looks for kind in found}
        return Memory(
            seconds=np.array([seconds for seconds, _ in self._looks]),
            megabytes={
                kind: np.array([found.get(kind, 0.0) for _, found in self._looks]) for kind in kinds
            },
        )

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        found: dict[str, float] = {}
        for process, kind in family(self._process, _MAIN):
            with suppress(psutil.Error):  # what has ended since
                found[kind] = found.get(kind, 0.0) + _megabytes(process)
        if found:
            self._looks.append((time.monotonic() - self._began, found))


def _megabytes(process: psutil.Process) -> float:
    memory = process.memory_full_info()
    size: int = getattr(memory, "pss", memory.uss)
    return size / _MEGABYTE
