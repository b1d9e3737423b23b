"""What is repeated, how often, and what never is."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from model.config import Priority
from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    PolyheadError,
    QueueFullError,
    RequestCancelledError,
    TooLongForDeadlineError,
)
from model.translation import TextDelta
from service.errors import ModelUnavailableError
from service.observability.metrics import GatewayMetrics
from service.protocol import TranslateCall, TranslateReply
from service.routing.attempts import Attempt
from service.routing.call_stream import CallEvent, CallStream
from service.routing.retry import Retrier, RetryBudget
from service.routing.router import Backend, ReplicaLostError
from service.settings import RetrySettings
from tests.fakes import HOSTED, until

_CALL = TranslateCall(request_id="r", model=HOSTED, texts=("a",), source="en", target="de")
_REPLY = TranslateReply(model="m", translations=())


class _Backend:
    """A model that does with each attempt what the next step of the plan says."""

    def __init__(self, *plan: BaseException | asyncio.Event | str, num_replicas: int = 2) -> None:
        self.plan = list(plan)
        self.num_replicas = num_replicas
        self.calls: list[TranslateCall] = []
        self.attempts: list[Attempt] = []
        self.num_cancelled = 0
        self.num_closed = 0
        self.later: Exception | None = None
        """What streams raise behind their first event."""

    async def check(self) -> None:
        raise NotImplementedError

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        assert attempt is not None
        attempt.has_alternative = lambda: self.num_replicas > 1
        self.attempts.append(attempt)
        self.calls.append(call)
        step = self.plan.pop(0)
        if isinstance(step, BaseException):
            raise step
        try:
            if isinstance(step, asyncio.Event):
                await step.wait()
            if step == "hang":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return _REPLY

    async def stream(self, call: TranslateCall, attempt: Attempt | None = None) -> CallStream:
        return await CallStream.begun(self._events(call, attempt))

    async def _events(
        self, call: TranslateCall, attempt: Attempt | None
    ) -> AsyncGenerator[CallEvent]:
        await self.translate(call, attempt)
        try:
            yield (TextDelta(0, "a"),)
            if self.later:
                raise self.later
            yield _REPLY
        finally:
            self.num_closed += 1

    @property
    def num_attempts(self) -> int:
        return len(self.calls)


class _Gateway:
    """One retrier and the metrics that it writes."""

    def __init__(self, **changes: Any) -> None:
        self._metrics = GatewayMetrics()
        settings = RetrySettings(**{"max_attempts": 4, "backoff_seconds": 0.0} | changes)
        self._retrier = Retrier(settings, self._metrics)

    async def send(self, backend: Backend, *, seconds: float = 30) -> TranslateReply:
        return await self._retrier.translate(backend, _CALL, deadline=time.monotonic() + seconds)

    async def stream(self, backend: Backend, *, seconds: float = 30) -> list[Any]:
        """All deltas, and the reply."""
        found: list[Any] = []
        deadline = time.monotonic() + seconds
        found.append(await self._retrier.stream(backend, _CALL, found.extend, deadline=deadline))
        return found

    @property
    def retries(self) -> dict[str, float]:
        """By reason, without those that have not happened."""
        counts = {
            reason: self._metrics.registry.get_sample_value(
                "polyhead_request_retries_total", {"reason": reason}
            )
            for reason in ("lost", "unavailable", "timeout")
        }
        return {reason: count for reason, count in counts.items() if count}


async def test_the_first_reply_is_the_answer() -> None:
    gateway, backend = _Gateway(), _Backend("ok")
    assert await gateway.send(backend) is _REPLY
    [call] = backend.calls
    assert call == replace(_CALL, timeout_seconds=call.timeout_seconds)
    assert (gateway.retries, backend.plan) == ({}, [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ReplicaLostError(), "lost"), (EngineDeadError("stopped"), "unavailable")],
)
async def test_lost_work_is_repeated(error: Exception, reason: str) -> None:
    gateway = _Gateway()
    assert await gateway.send(_Backend(error, error, "ok")) is _REPLY
    assert gateway.retries == {reason: 2}


async def test_a_more_exact_error_is_repeated_for_the_same_reason() -> None:
    class _NodeLostError(ReplicaLostError):
        """A replica is gone with its node."""

    gateway = _Gateway()
    assert await gateway.send(_Backend(_NodeLostError(), "ok")) is _REPLY
    assert gateway.retries == {"lost": 1}


async def test_attempts_are_counted() -> None:
    gateway, backend = _Gateway(), _Backend(*[ReplicaLostError()] * 9)
    with pytest.raises(ModelUnavailableError, match="in 4 attempts") as caught:
        await gateway.send(backend)
    assert isinstance(caught.value.__cause__, ReplicaLostError)
    assert (backend.num_attempts, gateway.retries) == (4, {"lost": 3})


class _CarrierError(Exception):
    """An error with another one in it, which only the backend may take out."""

    cause = EngineDeadError("stopped")


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("wrong"),
        QueueFullError("full"),
        RequestCancelledError("given up"),
        DeadlineExceededError("late"),
        TooLongForDeadlineError("long"),
        ModelUnavailableError("nobody there"),
        ValueError("a bug"),
        _CarrierError("carried"),
    ],
)
async def test_anything_else_is_not_repeated(error: Exception) -> None:
    backend = _Backend(error, "ok")
    with pytest.raises(type(error)) as caught:
        await _Gateway().send(backend)
    assert caught.value is error
    assert backend.num_attempts == 1


@pytest.mark.parametrize(
    "changes", [{"num_replicas": 1}, {"timeout_retry_ratio": 0.0, "timeout_retry_burst": 0}]
)
async def test_what_is_slow_goes_on_without_another_replica_or_a_retry_to_spend(
    changes: dict[str, Any],
) -> None:
    answer = asyncio.Event()
    backend = _Backend(answer, num_replicas=changes.pop("num_replicas", 2))
    gateway = _Gateway(attempt_timeout_seconds=0.01, **changes)
    running = asyncio.ensure_future(gateway.send(backend))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.1)
    answer.set()
    assert await running is _REPLY
    assert (backend.num_attempts, backend.num_cancelled, gateway.retries) == (1, 0, {})


async def _sent_twice(gateway: _Gateway, backend: _Backend) -> asyncio.Future[TranslateReply]:
    """A request whose first attempt was so slow that it has a second one beside it."""
    running = asyncio.ensure_future(gateway.send(backend))
    await until(lambda: backend.num_attempts == 2)
    return running


@pytest.mark.parametrize("winner", [0, 1])
async def test_what_is_slow_has_a_second_attempt_and_the_first_answer_counts(winner: int) -> None:
    answers = [asyncio.Event(), asyncio.Event()]
    gateway, backend = _Gateway(attempt_timeout_seconds=0.01), _Backend(*answers)
    running = await _sent_twice(gateway, backend)
    assert (backend.num_cancelled, gateway.retries) == (0, {"timeout": 1})
    first, second = backend.attempts
    assert second.beside is first
    # Others go before it: the first one may only be slow.
    assert [call.priority for call in backend.calls] == [Priority.INTERACTIVE, Priority.BATCH]
    answers[winner].set()
    assert await running is _REPLY
    await until(lambda: backend.num_cancelled == 1)
    assert backend.num_attempts == 2


@pytest.mark.parametrize("error", [ReplicaLostError(), QueueFullError("full")])
async def test_a_second_attempt_that_fails_does_no_harm(error: Exception) -> None:
    answer = asyncio.Event()
    gateway, backend = _Gateway(attempt_timeout_seconds=0.01), _Backend(answer, error)
    running = await _sent_twice(gateway, backend)
    answer.set()
    assert await running is _REPLY
    assert gateway.retries == {"timeout": 1}


class _Failing(_Backend):
    """Its first attempt fails when `failing` is set."""

    def __init__(self, error: Exception, *plan: asyncio.Event | str) -> None:
        super().__init__(*plan)
        self.failing = asyncio.Event()
        self._error = error

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        if self.num_attempts:
            return await super().translate(call, attempt)
        self.plan.insert(0, self.failing)
        await super().translate(call, attempt)
        raise self._error


async def test_what_is_lost_after_all_is_left_to_the_second_attempt() -> None:
    answer = asyncio.Event()
    gateway = _Gateway(attempt_timeout_seconds=0.01)
    backend = _Failing(ReplicaLostError(), answer)
    running = await _sent_twice(gateway, backend)
    backend.failing.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.05)
    answer.set()
    assert await running is _REPLY
    assert (backend.num_attempts, gateway.retries) == (2, {"timeout": 1})


async def test_when_both_are_lost_there_is_another_attempt() -> None:
    class Losing(_Failing):
        async def translate(
            self, call: TranslateCall, attempt: Attempt | None = None
        ) -> TranslateReply:
            reply = await super().translate(call, attempt)
            if self.num_attempts == 2:
                raise ReplicaLostError
            return reply

    gateway = _Gateway(attempt_timeout_seconds=0.01)
    backend = Losing(ReplicaLostError(), "ok", "ok")
    running = await _sent_twice(gateway, backend)
    backend.failing.set()
    assert await running is _REPLY
    assert (backend.num_attempts, gateway.retries) == (3, {"timeout": 1, "lost": 1})


async def test_what_any_attempt_would_say_ends_both() -> None:
    gateway = _Gateway(attempt_timeout_seconds=0.01)
    backend = _Failing(InvalidRequestError("wrong"), "hang")
    running = await _sent_twice(gateway, backend)
    backend.failing.set()
    with pytest.raises(InvalidRequestError):
        await running
    await until(lambda: backend.num_cancelled == 1)


async def test_a_request_is_not_too_long_because_its_first_attempt_was_lost() -> None:
    backend = _Backend(ReplicaLostError(), TooLongForDeadlineError("no time left for it"))
    with pytest.raises(DeadlineExceededError, match="no time for another attempt"):
        await _Gateway().send(backend)


async def test_lost_work_is_repeated_even_without_a_retry_to_spend() -> None:
    gateway = _Gateway(timeout_retry_ratio=0.0, timeout_retry_burst=0)
    assert await gateway.send(_Backend(ReplicaLostError(), "ok")) is _REPLY


async def test_the_deadline_ends_an_attempt() -> None:
    backend = _Backend("hang")
    with pytest.raises(DeadlineExceededError):
        await _Gateway().send(backend, seconds=0.02)
    await until(lambda: backend.num_cancelled == 1)


async def test_the_deadline_ends_both_attempts() -> None:
    backend = _Backend("hang", "hang")
    with pytest.raises(DeadlineExceededError):
        await _Gateway(attempt_timeout_seconds=0.03).send(backend, seconds=0.2)
    await until(lambda: backend.num_cancelled == backend.num_attempts)
    assert backend.num_attempts <= 2


async def test_after_the_deadline_nothing_is_sent() -> None:
    backend = _Backend("ok")
    with pytest.raises(DeadlineExceededError):
        await _Gateway().send(backend, seconds=-1)
    assert backend.num_attempts == 0


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    gateway = _Gateway(backoff_seconds=50, max_backoff_seconds=50)
    with pytest.raises(DeadlineExceededError, match="no time for another attempt"):
        await gateway.send(_Backend(ReplicaLostError(), "ok"), seconds=10)


async def test_each_attempt_learns_how_much_time_is_left() -> None:
    backend = _Backend(ReplicaLostError(), ReplicaLostError(), "ok")
    await _Gateway(backoff_seconds=0.01).send(backend)
    first, second, third = (call.timeout_seconds or 0 for call in backend.calls)
    assert 30 >= first > second > third > 0


async def test_a_caller_that_gives_up_takes_the_attempt_along() -> None:
    gateway, backend = _Gateway(), _Backend("hang", "ok")
    running = asyncio.ensure_future(gateway.send(backend))
    await until(lambda: backend.num_attempts == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: backend.num_cancelled == 1)
    assert (backend.num_attempts, gateway.retries) == (1, {})


async def test_lost_work_has_a_budget_for_all_requests_together() -> None:
    # A request that kills its replicas takes no more of them along than that.
    gateway = _Gateway(max_attempts=9, lost_retry_ratio=0.5, lost_retry_burst=3)
    for attempts in (4, 1, 2, 1, 2):
        backend = _Backend(*[ReplicaLostError()] * 9)
        with pytest.raises(ModelUnavailableError):
            await gateway.send(backend)
        assert backend.num_attempts == attempts


async def test_the_error_of_an_abandoned_attempt_is_discarded() -> None:
    class Dying(_Backend):
        async def translate(
            self, call: TranslateCall, attempt: Attempt | None = None
        ) -> TranslateReply:
            try:
                return await super().translate(call, attempt)
            except asyncio.CancelledError:
                raise PolyheadError("died of it") from None

    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    backend = Dying("hang")
    with pytest.raises(DeadlineExceededError):
        await _Gateway().send(backend, seconds=0.01)
    await until(lambda: backend.num_cancelled == 1)
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []


def test_the_budget_is_a_share_of_the_requests_after_a_burst() -> None:
    budget = RetryBudget(ratio=0.5, burst=2)
    assert [budget.try_withdraw() for _ in range(3)] == [True, True, False]
    budget.deposit()
    assert not budget.try_withdraw()
    budget.deposit()
    assert [budget.try_withdraw(), budget.try_withdraw()] == [True, False]
    for _ in range(100):
        budget.deposit()
    assert [budget.try_withdraw() for _ in range(3)] == [True, True, False]


# --- calls that tell what is decided --------------------------------------------------------------

_TOLD = [TextDelta(0, "a"), _REPLY]


@pytest.mark.parametrize("error", [ReplicaLostError(), EngineDeadError("stopped")])
async def test_a_stream_is_repeated_until_it_has_begun(error: Exception) -> None:
    gateway, backend = _Gateway(), _Backend(error, error, "ok")
    assert await gateway.stream(backend) == _TOLD
    assert (backend.num_attempts, backend.num_closed) == (3, 1)


@pytest.mark.parametrize("error", [ReplicaLostError(), EngineDeadError("stopped")])
async def test_a_stream_that_has_begun_is_not_repeated(error: Exception) -> None:
    gateway, backend = _Gateway(), _Backend("ok", "ok")
    backend.later = error
    with pytest.raises(ModelUnavailableError, match="a part of its translation"):
        await gateway.stream(backend)
    assert (backend.num_attempts, backend.num_closed) == (1, 1)


async def test_what_any_attempt_would_say_ends_a_stream() -> None:
    gateway, backend = _Gateway(), _Backend("ok")
    backend.later = InvalidRequestError("wrong")
    with pytest.raises(InvalidRequestError, match="wrong"):
        await gateway.stream(backend)


async def test_the_deadline_ends_a_stream_that_has_begun() -> None:
    class Slow(_Backend):
        async def _events(
            self, call: TranslateCall, attempt: Attempt | None
        ) -> AsyncGenerator[CallEvent]:
            try:
                yield (TextDelta(0, "a"),)
                await asyncio.Event().wait()
            finally:
                self.num_closed += 1

    gateway, backend = _Gateway(), Slow()
    with pytest.raises(DeadlineExceededError):
        await gateway.stream(backend, seconds=0.05)
    assert backend.num_closed == 1


async def test_of_two_attempts_the_one_that_begins_is_told_of() -> None:
    gateway = _Gateway(attempt_timeout_seconds=0.01)
    backend = _Backend("hang", "ok")
    assert await gateway.stream(backend) == _TOLD
    await until(lambda: backend.num_cancelled == 1)
    assert gateway.retries == {"timeout": 1}
