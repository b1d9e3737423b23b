"""The replicas: how work reaches them, waits and is done, tick by tick, all of them at once.

Within a tick, work flows: what arrives and what is done change a replica's work linearly. Ticks
much shorter than a sentence's own service make each replica a queue of single sentences (M/G/1);
longer ones, of many sentences each, make it the fluid that a busy replica is.
"""

from __future__ import annotations

import math

import numpy as np

from loadtests.simulation.profiles import ReplicaProfile
from service.autoscaling.decision import LoadMeter, ReplicaLoad

__all__ = ["Fleet", "QueueTimes"]

_LARGEST_SHARE = 2.0
"""The most that a replica gets, over the average: who asks two of N replicas and takes the emptier
one finds the emptiest in 2 of N cases."""
_BISECTIONS = 20
_OCCUPANCY_EXPONENT = 2.0
"""A small batch does more for each of its rows: three quarters of the capacity take about half of
the slots, by the predicted times of a step with 1 to 1,024 rows."""


class Fleet:
    """Up to `most` replicas of one kind, each with a number that is used once."""

    def __init__(self, profile: ReplicaProfile, *, most: int) -> None:
        self._profile = profile
        self._free = list(range(most - 1, -1, -1))
        self._work = np.zeros(most)
        """Tokens that wait or run."""
        self._submitted = np.zeros(most)
        self._admitted = np.zeros(most)
        self._waiting_since = np.full(most, np.nan)
        self._utilization = np.zeros(most)
        """In the last tick."""
        self._meters: dict[int, LoadMeter] = {}
        self.serving: list[int] = []
        self.draining: list[int] = []
        self.done = 0.0
        """Tokens, since the beginning."""

    @property
    def work(self) -> float:
        """Tokens that wait or run anywhere."""
        return float(self._work.sum())

    def add(self) -> None:
        """One more replica takes work."""
        number = self._free.pop()
        for counts in (self._work, self._submitted, self._admitted, self._utilization):
            counts[number] = 0.0
        self._waiting_since[number] = np.nan
        self._meters[number] = LoadMeter()
        self.serving.append(number)

    def drain(self) -> None:
        """The youngest replica takes no more work, and goes when it has none."""
        self.draining.append(self.serving.pop())

    def lose(self, count: int) -> float:
        """The oldest `count` replicas die; returns the tokens that they had, for others to do."""
        lost, self.serving = self.serving[:count], self.serving[count:]
        tokens = float(self._work[lost].sum())
        self._work[lost] = 0.0
        self._free += lost
        return tokens

    def shares(self, tokens: float) -> np.ndarray:
        """Tokens for each serving replica, as Serve's choice of the shorter of two queues divides
        `tokens` when there are many requests."""
        work = self._work[self.serving]
        most = _LARGEST_SHARE * tokens / len(work) if len(work) > 1 else tokens
        # The level to which all are filled up, those above it left alone.
        low, high = float(work.min()), float(work.max()) + most
        for _ in range(_BISECTIONS):
            level = (low + high) / 2
            if np.clip(level - work, 0.0, most).sum() < tokens:
                low = level
            else:
                high = level
        shares = np.clip(high - work, 0.0, most)
        total = float(shares.sum())
        return shares * (tokens / total) if total > 0 else shares

    def tick(self, now: float, seconds: float, arrived: np.ndarray) -> np.ndarray:
        """Work arrives and is done, from `now` for `seconds`.

        Args:
            arrived: (N,) tokens that arrive at each serving replica.

        Returns:
            (N,) seconds that they wait for a slot, on average.
        """
        numbers = np.array(self.serving, dtype=np.intp)
        before = self._work[numbers]
        self._submitted[numbers] += arrived
        self._work[numbers] += arrived
        self._serve(numbers, now, seconds)
        if self.draining:
            self._serve(np.array(self.draining, dtype=np.intp), now, seconds)
            self._free += [number for number in self.draining if self._work[number] <= 0]
            self.draining = [number for number in self.draining if self._work[number] > 0]
        # Whoever comes during the tick finds what was there before and half of those who come with
        # them, less what is done meanwhile.
        after = np.maximum(self._work[numbers] - self._profile.mean_sentence_tokens, 0.0)
        ahead = (before + after) / 2 - self._profile.running_tokens
        return np.asarray(np.maximum(ahead, 0.0) / self._profile.capacity)

    def reports(self, now: float) -> list[ReplicaLoad]:
        """What the replicas that take work say of themselves."""
        running = self._profile.running_tokens
        found = []
        for number in self.serving:
            work = float(self._work[number])
            since = float(self._waiting_since[number])
            found.append(
                self._meters[number].observe(
                    now,
                    waiting_tokens=int(max(work - running, 0.0)),
                    running_tokens=int(min(work, running)),
                    submitted_tokens=int(self._submitted[number]),
                    admitted_tokens=int(self._admitted[number]),
                    waiting_since=None if np.isnan(since) else since,
                    slots_share=float(self._utilization[number]) ** _OCCUPANCY_EXPONENT,
                )
            )
        return found

    def _serve(self, numbers: np.ndarray, now: float, seconds: float) -> None:
        before = self._work[numbers]
        left = np.maximum(before - self._profile.capacity * seconds, 0.0)
        left[left < 1e-9] = 0.0
        self._work[numbers] = left
        self.done += float((before - left).sum())
        self._utilization[numbers] = (before - left) / (self._profile.capacity * seconds)
        waiting = np.maximum(left - self._profile.running_tokens, 0.0)
        self._admitted[numbers] = self._submitted[numbers] - waiting
        since = self._waiting_since[numbers]
        self._waiting_since[numbers] = np.where(
            waiting > 0, np.where(np.isnan(since), now + seconds, since), np.nan
        )


_SHORTEST = 1e-4
_LONGEST = 1e4
_PER_DECADE = 50
"""A percentile is known to 5 %."""
_EDGES = np.logspace(
    math.log10(_SHORTEST),
    math.log10(_LONGEST),
    round(math.log10(_LONGEST / _SHORTEST) * _PER_DECADE) + 1,
)


class QueueTimes:
    """Seconds, weighted with the sentences that waited so long."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_EDGES) + 1)
        self._sum = 0.0

    def add(self, seconds: np.ndarray, sentences: np.ndarray) -> None:
        """`sentences` waited `seconds`, entry by entry."""
        bins = np.searchsorted(_EDGES, seconds, side="left")
        self._counts += np.bincount(bins, weights=sentences, minlength=len(self._counts))
        self._sum += float((seconds * sentences).sum())

    def merge(self, other: QueueTimes) -> None:
        """Takes over what another one has seen."""
        self._counts += other._counts
        self._sum += other._sum

    @property
    def sentences(self) -> float:
        """How many there were."""
        return float(self._counts.sum())

    @property
    def mean(self) -> float:
        """Seconds; 0 of nobody."""
        return self._sum / self.sentences if self.sentences else 0.0

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the sentences waited at most; 0 of nobody."""
        if not self.sentences:
            return 0.0
        reached = np.cumsum(self._counts) >= share * self.sentences * (1 - 1e-12)
        index = int(np.argmax(reached))
        if index == 0:
            return 0.0  # shorter than the first edge, which is as good as nothing
        return float(_EDGES[min(index, len(_EDGES) - 1)])

    def share_within(self, seconds: float) -> float:
        """Share of the sentences that waited at most `seconds`; 1 of nobody."""
        if not self.sentences:
            return 1.0
        last = int(np.searchsorted(_EDGES, seconds, side="right"))
        return float(self._counts[:last].sum()) / self.sentences
