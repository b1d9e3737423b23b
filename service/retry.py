"""Sends a call to a model until one attempt succeeds, its attempts are used up, or time is.

A replica that dies takes the work it had accepted with it, and nobody below repeats it. A network
that swallows everything gives no error at all, so an attempt has a time limit of its own. Work that
the client cancelled, and requests that are wrong, are never repeated. Budgets bound the rest:
however much is lost, retries add no more than a share to what clients send.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

from model.errors import DeadlineExceededError, EngineDeadError, PolyheadError
from service.errors import ModelUnavailableError
from service.settings import RetrySettings

__all__ = ["Retrier", "RetryBudget", "RetryReason"]

RetryReason = Literal["lost", "timeout", "unavailable"]
Reply = TypeVar("Reply")

_CANCELLATION_SECONDS = 2.0
"""Ray cancels a request and the work below it one by one, in no order that can be relied on."""


class RetryBudget:
    """Allows retries up to a share of all requests, and a burst of them to begin with."""

    def __init__(self, *, ratio: float, burst: int) -> None:
        self._ratio = ratio
        self._burst = burst
        self._balance = float(burst)

    def earn(self) -> None:
        """One more request has come in."""
        self._balance = min(self._balance + self._ratio, self._burst)

    def spend(self) -> bool:
        """Takes one retry out; False when there is none."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


class _AttemptLostError(Exception):
    """One attempt came to nothing, and another one may succeed."""

    def __init__(self, reason: RetryReason) -> None:
        super().__init__(reason)
        self.reason: RetryReason = reason


class Retrier:
    """Repeats what replicas lose, for all models of one gateway."""

    def __init__(
        self,
        settings: RetrySettings,
        *,
        lost: tuple[type[Exception], ...] = (),
        on_retry: Callable[[RetryReason], None] | None = None,
    ) -> None:
        """`lost`: raised by `send` when the replica is gone; `on_retry` is told of every retry."""
        self._settings = settings
        self._lost = lost
        self._on_retry = on_retry
        self._slow = RetryBudget(
            ratio=settings.timeout_retry_ratio, burst=settings.timeout_retry_burst
        )
        self._lost_work = RetryBudget(
            ratio=settings.lost_retry_ratio, burst=settings.lost_retry_burst
        )

    async def run(
        self, send: Callable[[float], Coroutine[Any, Any, Reply]], *, deadline: float
    ) -> Reply:
        """The first reply of `send(seconds left)`.

        `deadline` is in time.monotonic() seconds; DeadlineExceededError when it passes,
        ModelUnavailableError when every attempt was lost, or when too much is being lost.
        """
        self._slow.earn()
        self._lost_work.earn()
        attempt = 0
        while True:
            attempt += 1
            last = attempt >= self._settings.max_attempts
            try:
                return await self._attempt(send, deadline=deadline, last=last)
            except _AttemptLostError as exc:
                # A retry after a time-out has been paid for.
                if last or (exc.reason != "timeout" and not self._lost_work.spend()):
                    raise ModelUnavailableError(
                        f"no replica of the model could answer in {attempt} attempts; "
                        "try again later"
                    ) from exc.__cause__
                if self._on_retry is not None:
                    self._on_retry(exc.reason)
            await self._pause(attempt, deadline)

    async def _attempt(
        self, send: Callable[[float], Coroutine[Any, Any, Reply]], *, deadline: float, last: bool
    ) -> Reply:
        left = _seconds_left(deadline)
        sending = asyncio.ensure_future(send(left))
        try:
            if not last and self._settings.attempt_timeout_seconds < left:
                await asyncio.wait({sending}, timeout=self._settings.attempt_timeout_seconds)
                # Without a retry to spend, the attempt under way is still the best hope.
                if not sending.done() and self._slow.spend():
                    raise _AttemptLostError("timeout")
            if not sending.done():
                await asyncio.wait({sending}, timeout=_seconds_left(deadline))
            if not sending.done():
                raise DeadlineExceededError("the deadline passed during an attempt")
            if sending.cancelled():
                # Not by us, or we would not be here. If the client has gone, we are cancelled next.
                await asyncio.sleep(min(_CANCELLATION_SECONDS, _seconds_left(deadline)))
                raise _AttemptLostError("lost")
            return self._outcome(sending)
        finally:
            if not sending.done():
                sending.add_done_callback(_forget)
                sending.cancel()

    def _outcome(self, sent: asyncio.Future[Reply]) -> Reply:
        """The reply, or the error in our own terms."""
        exc = sent.exception()
        if exc is None:
            return sent.result()
        error = _unwrapped(exc)
        if isinstance(error, EngineDeadError):
            raise _AttemptLostError("unavailable") from error
        if isinstance(error, self._lost):
            raise _AttemptLostError("lost") from error
        raise error

    async def _pause(self, attempt: int, deadline: float) -> None:
        mean = self._settings.backoff_seconds * 2 ** (attempt - 1)
        # The jitter keeps the requests that one dead replica lost from coming back all at once.
        pause = min(mean * random.uniform(0.5, 1.5), self._settings.max_backoff_seconds)
        if pause >= _seconds_left(deadline):
            raise DeadlineExceededError("the deadline leaves no time for another attempt")
        await asyncio.sleep(pause)


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceededError("the deadline has passed")
    return left


def _unwrapped(exc: BaseException) -> BaseException:
    """Our own error inside the one that brought it here, whose text is a traceback."""
    cause = getattr(exc, "cause", None)
    return cause if isinstance(cause, PolyheadError) else exc


def _forget(sent: asyncio.Future[Any]) -> None:
    """Whatever an abandoned attempt still ends with concerns nobody."""
    if not sent.cancelled():
        sent.exception()
