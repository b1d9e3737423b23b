"""Retries with backoff, bounded by attempts, the request's deadline, and retry budgets.

No layer below repeats the work of a replica that died. Invalid requests, and work that the client
cancelled, are never retried. Budgets bound retries to a share of all requests.

A call that tells of its translations as they are decided is repeated as any other until its first
event has come; then it is not any more, for its client may have seen it.

Slowness ends no attempt: an answer that takes long is not begun anew. But a network that drops
packets gives no error either, and one lost call cannot be told from a slow one. So an attempt that
takes very long gets a second one beside it, on another replica if there is one: the first reply is
the answer. In case it was slowness after all, the second one has the lowest priority.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from model.config import Priority
from model.errors import DeadlineExceededError, EngineDeadError, TooLongForDeadlineError
from model.translation import TextDelta
from service.errors import ModelUnavailableError
from service.observability.metrics import GatewayMetrics
from service.protocol import TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_stream import CallStream
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


_REASONS: Mapping[type[Exception], str] = {
    ReplicaLostError: "lost",
    EngineDeadError: "unavailable",
}
"""Errors that are retried, and their labels in the metrics. Translating is idempotent."""

_NO_TIME = "the deadline leaves no time for another attempt"
_LOST_LATE = "the replica ended after a part of its translation; ask again"

_T = TypeVar("_T", TranslateReply, CallStream)
_Send = Callable[[TranslateCall, Attempt], Coroutine[Any, Any, _T]]


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
        return await self._repeat(backend.translate, call, deadline)

    async def stream(
        self,
        backend: Backend,
        call: TranslateCall,
        on_deltas: Callable[[tuple[TextDelta, ...]], None],
        *,
        deadline: float,
    ) -> TranslateReply:
        """The first reply, and what is decided of its translations before that.

        Args:
            on_deltas: is called with it.
            deadline: in time.monotonic() seconds.

        Raises:
            DeadlineExceededError: the deadline passed.
            ModelUnavailableError: as `translate`; or the replica was lost when it had begun.
        """
        stream = await self._repeat(backend.stream, call, deadline)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                async for event in stream:
                    if isinstance(event, TranslateReply):
                        return event
                    on_deltas(event)
        except TimeoutError:
            raise DeadlineExceededError("the deadline passed during an attempt") from None
        except tuple(_REASONS) as error:
            raise ModelUnavailableError(_LOST_LATE) from error
        finally:
            await stream.close()
        raise ModelUnavailableError(_LOST_LATE)

    async def _repeat(self, send: _Send[_T], call: TranslateCall, deadline: float) -> _T:
        self._timeouts.deposit()
        self._losses.deposit()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(send, call, deadline=deadline)
            except TooLongForDeadlineError as error:
                if attempt == 1:
                    raise
                raise DeadlineExceededError(_NO_TIME) from error
            except tuple(_REASONS) as error:
                if attempt >= self._settings.max_attempts or not self._losses.try_withdraw():
                    raise ModelUnavailableError(
                        f"no replica of the model could answer in {attempt} attempts; "
                        "try again later"
                    ) from error
                self._metrics.count_retry(
                    next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))
                )
            await self._pause(attempt, deadline)

    async def _attempt(self, send: _Send[_T], call: TranslateCall, *, deadline: float) -> _T:
        """The reply of one attempt, or of the second one beside it."""
        attempt = Attempt()
        sent = [_sent(send, call, attempt, deadline)]
        try:
            limit = self._settings.attempt_timeout_seconds
            if limit < _seconds_left(deadline):
                await asyncio.wait(sent, timeout=limit)
                if sent[0].done() and not _failed(sent[0]):
                    return sent.pop().result()
                if (
                    not sent[0].done()
                    and attempt.sent_as.has_alternative()
                    and self._timeouts.try_withdraw()
                ):
                    self._metrics.count_retry("timeout")
                    second = replace(call, priority=Priority.BATCH)
                    sent.append(_sent(send, second, Attempt(beside=attempt), deadline))
            reply = await _first_reply(sent, deadline)
            sent = [each for each in sent if not _is(each, reply)]
            return reply
        finally:
            for each in sent:
                each.add_done_callback(_discard)
                each.cancel()

    async def _pause(self, attempt: int, deadline: float) -> None:
        mean = self._settings.backoff_seconds * 2 ** (attempt - 1)
        # Jitter spreads the retries of all requests that one replica lost.
        pause = min(mean * random.uniform(0.5, 1.5), self._settings.max_backoff_seconds)
        if pause >= _seconds_left(deadline):
            raise DeadlineExceededError(_NO_TIME)
        await asyncio.sleep(pause)


def _sent(
    send: _Send[_T], call: TranslateCall, attempt: Attempt, deadline: float
) -> asyncio.Future[_T]:
    call = replace(call, timeout_seconds=_seconds_left(deadline))
    return asyncio.create_task(send(call, attempt))


async def _first_reply(sent: Sequence[asyncio.Future[_T]], deadline: float) -> _T:
    """The reply that comes first, or the error of the first attempt.

    That error waits for the second attempt's reply if it would be retried.
    """
    pending = set(sent)
    while pending:
        done, pending = await asyncio.wait(
            pending,
            timeout=max(0.0, deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            raise DeadlineExceededError("the deadline passed during an attempt")
        if replied := [each for each in done if not _failed(each)]:
            return replied[0].result()
        if _failed(sent[0]) and not isinstance(sent[0].exception(), tuple(_REASONS)):
            break
    return sent[0].result()


def _failed(sent: asyncio.Future[Any]) -> bool:
    return sent.done() and (sent.cancelled() or sent.exception() is not None)


def _is(sent: asyncio.Future[Any], reply: object) -> bool:
    return sent.done() and not _failed(sent) and sent.result() is reply


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceededError("the deadline has passed")
    return left


_CLOSING: set[asyncio.Task[None]] = set()


def _discard(sent: asyncio.Future[Any]) -> None:
    """Retrieves the error of an abandoned attempt, else asyncio logs it; gives up its stream."""
    if not sent.cancelled() and sent.exception() is None and isinstance(sent.result(), CallStream):
        task = asyncio.ensure_future(sent.result().close())
        _CLOSING.add(task)
        task.add_done_callback(_CLOSING.discard)
