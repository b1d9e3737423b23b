"""How long sentences waited: a histogram fine enough for percentiles, of any number of them."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["QueueTimes"]

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
