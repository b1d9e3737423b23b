"""What happened to the requests of a load test, in little room however many they are."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Histogram", "Record", "Tally"]

_GROWTH = math.log(1.01)
_SHORTEST = 1e-5


class Histogram:
    """Durations, each known to within half a percent.

    Buckets are powers of 1.01, so that a microsecond and an hour take 2,300 of them at most, and
    those of several processes can be summed.
    """

    def __init__(self, counts: Iterable[tuple[int, int]] = ()) -> None:
        """Of (bucket, count) pairs."""
        self._counts: Counter[int] = Counter(dict(counts))

    def add(self, seconds: float) -> None:
        """One more; anything below ten microseconds counts as that."""
        self._counts[round(math.log(max(seconds, _SHORTEST)) / _GROWTH)] += 1

    def merge(self, other: Histogram) -> None:
        """All of another one's."""
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, share: float) -> float | None:
        """Seconds that at least `share` of the durations do not exceed; None if there are none."""
        return self.ranked(math.ceil(share * len(self)))

    def ranked(self, rank: int) -> float | None:
        """Seconds of the `rank`-th shortest, counted from 1; None if there are not so many."""
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                return math.exp(bucket * _GROWTH)
        return None

    def as_pairs(self) -> list[tuple[int, int]]:
        """(bucket, count) pairs, for another process."""
        return list(self._counts.items())


@dataclass(kw_only=True)
class Tally:
    """Of some requests: those planned for one second, or those of one kind.

    What was planned and is neither right, failed nor unsent is still under way, or was when the
    test was ended.
    """

    planned: int = 0
    right: int = 0
    failed: int = 0
    """Answered wrongly or not at all."""
    unsent: int = 0
    """Not sent: so many were in flight that no place was free in time."""
    latencies: Histogram = field(default_factory=Histogram)
    """Of right answers, from the planned time."""

    def merge(self, other: Tally) -> None:
        """All of another one's."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies.merge(other.latencies)

    @property
    def unfinished(self) -> int:
        """Still under way."""
        return self.planned - self.right - self.failed - self.unsent

    def latency_of_all(self, share: float) -> float | None:
        """Seconds within which this share of all requests was answered rightly.

        Requests that failed or were not sent count as endless, those still under way not at all.

        Returns:
            None if so many were lost that this never came to be, or if there were none.
        """
        return self.latencies.ranked(math.ceil(share * (self.planned - self.unfinished)) or 1)

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Self:
        """Of all of them."""
        total = cls()
        for tally in tallies:
            total.merge(tally)
        return total

    def as_json(self) -> list[Any]:
        """For another process."""
        return [*(getattr(self, name) for name in _COUNTS), self.latencies.as_pairs()]

    @classmethod
    def from_json(cls, values: list[Any]) -> Self:
        """What `as_json` of another process gave."""
        counts = dict(zip(_COUNTS, values[:-1], strict=True))
        return cls(**counts, latencies=Histogram((b, c) for b, c in values[-1]))


_COUNTS = ("planned", "right", "failed", "unsent")


@dataclass(kw_only=True)
class Record:
    """Of a whole test, or of what one process saw since it last reported."""

    seconds: defaultdict[int, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By the second for which a request was planned."""
    kinds: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    faults: Counter[str] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    """Right answers, by the second in which they came."""
    delays: Histogram = field(default_factory=Histogram)
    """From the planned time to the sending."""
    elapsed: float = 0.0
    """Seconds since the beginning."""
    finished: int = 0
    """Sources that have sent all and heard of all."""

    def plan(self, kind: str, second: int) -> None:
        """A request is due."""
        self.seconds[second].planned += 1
        self.kinds[kind].planned += 1

    def leave_unsent(self, kind: str, second: int) -> None:
        """A request found no place in time."""
        self.seconds[second].unsent += 1
        self.kinds[kind].unsent += 1

    def send(self, delay: float) -> None:
        """A request is sent, `delay` seconds after its time."""
        self.delays.add(delay)

    def answer(self, kind: str, planned: float, ended: float, fault: str | None) -> None:
        """A request that was planned for `planned` has ended; both in seconds since the start."""
        for tally in (self.seconds[int(planned)], self.kinds[kind]):
            if fault is None:
                tally.right += 1
                tally.latencies.add(ended - planned)
            else:
                tally.failed += 1
        if fault is None:
            self.answered[int(ended)] += 1
        else:
            self.faults[fault] += 1

    def merge(self, other: Record) -> None:
        """All that another one holds."""
        for second, tally in other.seconds.items():
            self.seconds[second].merge(tally)
        for kind, tally in other.kinds.items():
            self.kinds[kind].merge(tally)
        self.faults.update(other.faults)
        self.answered.update(other.answered)
        self.delays.merge(other.delays)
        self.elapsed = max(self.elapsed, other.elapsed)
        self.finished += other.finished

    def between(self, first: float, last: float) -> Tally:
        """Of the requests planned from the second `first` up to, but not in, the second `last`."""
        return Tally.sum(t for second, t in self.seconds.items() if first <= second < last)

    def as_json(self) -> dict[str, Any]:
        """For another process."""
        return {
            "seconds": [(second, tally.as_json()) for second, tally in self.seconds.items()],
            "kinds": [(kind, tally.as_json()) for kind, tally in self.kinds.items()],
            "faults": list(self.faults.items()),
            "answered": list(self.answered.items()),
            "delays": self.delays.as_pairs(),
            "elapsed": self.elapsed,
            "finished": self.finished,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What `as_json` of another process gave."""
        record = cls(elapsed=values["elapsed"], finished=values["finished"])
        record.seconds.update((second, Tally.from_json(t)) for second, t in values["seconds"])
        record.kinds.update((kind, Tally.from_json(t)) for kind, t in values["kinds"])
        record.faults.update(dict(values["faults"]))
        record.answered.update(dict(values["answered"]))
        record.delays = Histogram((bucket, count) for bucket, count in values["delays"])
        return record
