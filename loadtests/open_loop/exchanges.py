"""What became of each request of a load test: a table with one row a request, and its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from loadtests.report import PERCENTILES, ms

__all__ = ["REFUSALS", "Exchange", "Exchanges", "percentile", "percentiles"]

REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""How a service says that it has too much to do."""

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


class Exchange(NamedTuple):
    """One request. Times are seconds since the beginning of the test."""

    kind: str
    planned: float
    sent: float = math.nan
    """NaN if it has not been, because there was no place in flight."""
    ended: float = math.nan
    """With the last byte of the answer, or when none was waited for any more, or no place; NaN
    while it is under way."""
    status: int = 0
    """0 if no answer came."""
    fault: str = ""
    """What is wrong with the answer; nothing if it is right, or there is no end yet."""
    has_retry_after: bool = False


_TYPES = (object, float, float, float, np.int16, object, bool)
_ROW = np.dtype(list(zip(Exchange._fields, _TYPES, strict=True)))


class Exchanges:
    """Requests in a table; the arrays have one element for each of them."""

    def __init__(self, rows: Sequence[Exchange] | NDArray[np.void] = ()) -> None:
        # numpy takes a tuple, even an empty one, for one row.
        table = rows if isinstance(rows, np.ndarray) else list(rows)
        self.rows: NDArray[Any] = np.asarray(table, dtype=_ROW)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows of several tables."""
        return cls(np.concatenate([cls().rows, *(part.rows for part in parts)]))

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: Mask) -> Self:
        """Those rows for which `mask` holds."""
        return type(self)(self.rows[mask])

    def planned_between(self, first: float, last: float) -> Self:
        """Those planned from `first` up to, but not at, `last` seconds."""
        return self.where((self.planned >= first) & (self.planned < last))

    @property
    def planned(self) -> Numbers:
        """When each was due."""
        return self.rows["planned"]

    @property
    def ended(self) -> Numbers:
        """When each ended; NaN for those under way."""
        return self.rows["ended"]

    @property
    def seconds(self) -> Numbers:
        """From the sending to the end; NaN where there is none of the two."""
        seconds: Numbers = self.rows["ended"] - self.rows["sent"]
        return seconds

    @cached_property
    def unfinished(self) -> Mask:
        """Still under way, or waiting for a place in flight."""
        return np.isnan(self.ended)

    @cached_property
    def unsent(self) -> Mask:
        """Given up: so many were in flight that no place was free in time."""
        waiting: Mask = np.isnan(self.rows["sent"])
        return waiting & ~self.unfinished

    @cached_property
    def right(self) -> Mask:
        """Answered, and rightly."""
        clean: Mask = self.rows["fault"] == ""
        return clean & ~self.unfinished & ~self.unsent

    @cached_property
    def failed(self) -> Mask:
        """Sent, and answered wrongly or not at all; refusals are among them."""
        return ~self.unfinished & ~self.unsent & ~self.right

    @cached_property
    def refused(self) -> Mask:
        """Answered with a status that says: not now."""
        return np.isin(self.rows["status"], REFUSALS)

    @cached_property
    def latencies(self) -> Numbers:
        """Seconds from the planned time to the end, of the right answers alone, ascending."""
        return np.sort((self.ended - self.planned)[self.right])

    @property
    def send_delays(self) -> Numbers:
        """Seconds from the planned time to the sending, of those that were sent."""
        delays: Numbers = self.rows["sent"] - self.planned
        return delays[~np.isnan(delays)]

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was found."""
        return Counter(self.rows["fault"][self.failed])

    @property
    def kinds(self) -> dict[str, Self]:
        """The requests of each kind, by its name."""
        kinds = self.rows["kind"]
        return {kind: self.where(kinds == kind) for kind in sorted(set(kinds))}

    def answered_between(self, first: float, last: float) -> int:
        """Right answers that came then, whenever they were planned."""
        return int(((self.ended >= first) & (self.ended < last) & self.right).sum())

    def figures(self) -> dict[str, Any]:
        """What lines of JSON tell of any requests: how many there were, and how quick the right
        answers.
        """
        return {
            "requests": len(self),
            "right": int(self.right.sum()),
            "failed": int(self.failed.sum()),
            "not_sent": int(self.unsent.sum()),
            "unfinished": int(self.unfinished.sum()),
        } | percentiles(self.latencies)

    def latency_of_all(self, share: float) -> float | None:
        """Seconds within which this share of all requests was answered rightly.

        Requests that failed or were not sent count as endless, those still under way not at all.

        Returns:
            None if so many were lost that this never came to be, or if there were none.
        """
        rank = math.ceil(share * (~self.unfinished).sum()) or 1
        return float(self.latencies[rank - 1]) if rank <= len(self.latencies) else None


def percentiles(values: Numbers, name: str = "") -> dict[str, float | None]:
    """p50, p95 and p99 of durations in seconds, as lines of JSON have them: in milliseconds."""
    return {f"{name}p{100 * share:.0f}_ms": ms(percentile(values, share)) for share in PERCENTILES}


def percentile(values: Numbers, share: float) -> float | None:
    """The smallest value that at least `share` of them do not exceed; None if there are none."""
    if not len(values):
        return None
    return float(np.quantile(values, share, method="inverted_cdf"))
