"""Retries with backoff, bounded by attempts, the request's deadline, and retry budgets.

No layer below repeats the work of a replica that died. A network that drops packets gives no error
at all, so each attempt has a timeout of its own. Invalid requests, and work that the client
cancelled, are never retried. Budgets bound retries to a share of all requests.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model.errors import DeadlineExceededError, EngineDeadError
from service.errors import ModelUnavailableError
from service.observability.metrics import GatewayMetrics
from service.protocol import TranslateCall, TranslateReply
from service.routing.router import Backend, ReplicaLostError
from service.settings import RetrySettings

__all__ = ["Retrier", "RetryBudget"]


class RetryBudget:
    """A token bucket: retries up to a share (`ratio`) of all requests, and a burst."""

    def __init__(self, *, ratio: float, burst: int) -> None:
        self._ratio = ratio
        self._burst = burst
        self._balance = float(burst)

    def deposit(self) -> None:
        """Counts a request."""
        self._balance = min(self._balance + self._ratio, self._burst)

    def try_withdraw(self) -> bool:
        """Takes one retry; False when there is none left."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


class _AttemptTimeoutError(Exception):
    """An attempt timed out, and its retry has been withdrawn from the budget."""


_REASONS: Mapping[type[Exception], str] = {
    ReplicaLostError: "lost",
    EngineDeadError: "unavailable",
    _AttemptTimeoutError: "timeout",
}
"""Errors that are retried, and their labels in the metrics. Translating is idempotent."""


class Retrier:
    """Sends calls with retries, for all models of one gateway."""

    def __init__(self, settings: RetrySettings, metrics: GatewayMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._timeouts = RetryBudget(
            ratio=settings.timeout_retry_ratio, burst=settings.timeout_retry_burst
        )
        self._losses = RetryBudget(ratio=settings.lost_retry_ratio, burst=settings.lost_retry_burst)

    async def translate(
        self, backend: Backend, call: TranslateCall, *, deadline: float
    ) -> TranslateReply:
        """The first reply. Each attempt carries the seconds that are left.

        Args:
            deadline: in time.monotonic() seconds.

        Raises:
            DeadlineExceededError: the deadline passed.
            ModelUnavailableError: every attempt failed, or the retry budget is used up.
        """
        self._timeouts.deposit()
        self._losses.deposit()
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= self._settings.max_attempts
            try:
                return await self._attempt(backend, call, deadline=deadline, last=last)
            except tuple(_REASONS) as error:
                withdrawn = isinstance(error, _AttemptTimeoutError)
                if last or not (withdrawn or self._losses.try_withdraw()):
                    raise ModelUnavailableError(
                        f"no replica of the model could answer in {attempt} attempts; "
                        "try again later"
                    ) from error
                self._metrics.count_retry(
                    next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))
                )
            await self._pause(attempt, deadline)

    async def _attempt(
        self, backend: Backend, call: TranslateCall, *, deadline: float, last: bool
    ) -> TranslateReply:
        left = _seconds_left(deadline)
        limit = self._settings.attempt_timeout_seconds
        sending = asyncio.ensure_future(backend.translate(replace(call, timeout_seconds=left)))
        try:
            if not last and limit < left:
                await asyncio.wait({sending}, timeout=limit)
                # Without a retry left in the budget, the attempt goes on.
                if not sending.done() and self._timeouts.try_withdraw():
                    raise _AttemptTimeoutError
            if not sending.done():
                await asyncio.wait({sending}, timeout=_seconds_left(deadline))
            if not sending.done():
                raise DeadlineExceededError("the deadline passed during an attempt")
            return sending.result()
        finally:
            if not sending.done():
                sending.add_done_callback(_discard)
                sending.cancel()

    async def _pause(self, attempt: int, deadline: float) -> None:
        mean = self._settings.backoff_seconds * 2 ** (attempt - 1)
        # Jitter spreads the retries of all requests that one replica lost.
        pause = min(mean * random.uniform(0.5, 1.5), self._settings.max_backoff_seconds)
        if pause >= _seconds_left(deadline):
            raise DeadlineExceededError("the deadline leaves no time for another attempt")
        await asyncio.sleep(pause)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceededError("the deadline has passed")
    return left


def _discard(sent: asyncio.Future[Any]) -> None:
    """Retrieves the error of an abandoned attempt, else asyncio logs it."""
    if not sent.cancelled():
        sent.exception()
