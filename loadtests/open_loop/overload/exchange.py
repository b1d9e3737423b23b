"""A request and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["DEADLINE_STATUSES", "REFUSALS", "Exchange"]

REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""How a service says that it has too much to do."""
DEADLINE_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT)
"""How it says that the time was up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """Times are seconds since the beginning of the test."""

    kind: str
    planned: float
    sent: float | None = None
    """None if no place in flight became free in time."""
    ended: float | None = None
    """With the last byte of the answer, or when none was waited for any more; None while it is
    under way."""
    status: int = 0
    """0 if no answer came."""
    fault: str | None = None
    """What is wrong with the answer; None if nothing is, or there is no end yet."""
    has_retry_after: bool = False

    @property
    def right(self) -> bool:
        """Answered, and rightly."""
        return self.ended is not None and self.fault is None

    @property
    def refused(self) -> bool:
        """Answered with a status that says: not now."""
        return self.status in REFUSALS

    @property
    def failed(self) -> bool:
        """Neither answered rightly nor refused; never sent counts, under way does not."""
        if self.sent is None:
            return True
        return self.ended is not None and not self.right and not self.refused

    @property
    def seconds(self) -> float | None:
        """From the sending to the end; None if there is none."""
        if self.sent is None or self.ended is None:
            return None
        return self.ended - self.sent

    def is_late(self, deadline: float) -> bool:
        """Whether it was taken, and not answered within `deadline` seconds."""
        if self.status in DEADLINE_STATUSES:
            return True
        return self.right and self.seconds is not None and self.seconds > deadline
