"""What is repeated, how often, and what never is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    PolyheadError,
    QueueFullError,
    RequestCancelledError,
)
from service.errors import ModelUnavailableError
from service.retry import Retrier, RetryBudget
from service.settings import RetrySettings
from tests.fakes import ReplicaLostError, WrappedError, until


class Sender:
    """Sends nothing; each attempt does what the next step of the plan says."""

    def __init__(self, *plan: BaseException | str) -> None:
        self.plan = list(plan)
        self.seconds_left: list[float] = []
        self.num_cancelled = 0

    async def __call__(self, seconds_left: float) -> str:
        self.seconds_left.append(seconds_left)
        step = self.plan.pop(0)
        if isinstance(step, BaseException):
            raise step
        if step == "hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.num_cancelled += 1
                raise
        return step

    @property
    def num_attempts(self) -> int:
        return len(self.seconds_left)


def _retrier(told: Callable[[Any], None] | None = None, **changes: Any) -> Retrier:
    values = {"max_attempts": 4, "backoff_seconds": 0.0} | changes
    return Retrier(RetrySettings(**values), lost=(ReplicaLostError,), on_retry=told)


def _in(seconds: float) -> float:
    return time.monotonic() + seconds


async def test_the_first_reply_is_the_answer() -> None:
    send = Sender("ok")
    assert await _retrier().run(send, deadline=_in(30)) == "ok"
    assert 29 < send.seconds_left[0] <= 30


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ReplicaLostError(), "lost"),
        (EngineDeadError("stopped"), "unavailable"),
        (WrappedError(EngineDeadError("stopped")), "unavailable"),
    ],
)
async def test_lost_work_is_repeated(error: Exception, reason: str) -> None:
    told: list[str] = []
    send = Sender(error, error, "ok")
    assert await _retrier(told.append).run(send, deadline=_in(30)) == "ok"
    assert told == [reason, reason]


async def test_attempts_are_counted() -> None:
    told: list[str] = []
    send = Sender(*[ReplicaLostError()] * 9)
    with pytest.raises(ModelUnavailableError, match="in 4 attempts") as caught:
        await _retrier(told.append).run(send, deadline=_in(30))
    assert isinstance(caught.value.__cause__, ReplicaLostError)
    assert (send.num_attempts, told) == (4, ["lost"] * 3)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("wrong"),
        QueueFullError("full"),
        RequestCancelledError("given up"),
        DeadlineExceededError("late"),
        ValueError("a bug"),
    ],
)
async def test_anything_else_is_not_repeated(error: Exception) -> None:
    send = Sender(error, "ok")
    with pytest.raises(type(error), match=str(error)):
        await _retrier().run(send, deadline=_in(30))
    assert send.num_attempts == 1


async def test_our_own_error_is_taken_out_of_what_carried_it() -> None:
    send = Sender(WrappedError(InvalidRequestError("`x` must be y")))
    with pytest.raises(InvalidRequestError) as caught:
        await _retrier().run(send, deadline=_in(30))
    assert str(caught.value) == "`x` must be y"


async def test_an_error_that_carries_a_foreign_one_stays_as_it_is() -> None:
    with pytest.raises(WrappedError):
        await _retrier().run(Sender(WrappedError(KeyError("x"))), deadline=_in(30))


async def test_an_attempt_without_an_answer_is_cancelled_and_repeated() -> None:
    told: list[str] = []
    send = Sender("hang", "hang", "ok")
    retrier = _retrier(told.append, attempt_timeout_seconds=0.01)
    assert await retrier.run(send, deadline=_in(30)) == "ok"
    await until(lambda: send.num_cancelled == 2)
    assert told == ["timeout", "timeout"]


async def test_the_last_attempt_has_all_the_time_that_is_left() -> None:
    answer = asyncio.Event()
    num_attempts = 0

    async def send(seconds_left: float) -> str:
        nonlocal num_attempts
        num_attempts += 1
        await answer.wait()
        return "ok"

    retrier = _retrier(max_attempts=2, attempt_timeout_seconds=0.01)
    running = asyncio.ensure_future(retrier.run(send, deadline=_in(30)))
    await until(lambda: num_attempts == 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.05)
    answer.set()
    assert await running == "ok"


async def test_without_a_retry_to_spend_a_slow_attempt_goes_on() -> None:
    told: list[str] = []
    answer = asyncio.Event()

    async def send(seconds_left: float) -> str:
        await answer.wait()
        return "ok"

    retrier = _retrier(
        told.append,
        attempt_timeout_seconds=0.01,
        timeout_retry_ratio=0.0,
        timeout_retry_burst=0,
    )
    running = asyncio.ensure_future(retrier.run(send, deadline=_in(30)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.05)
    answer.set()
    assert (await running, told) == ("ok", [])


async def test_lost_work_is_repeated_even_without_a_retry_to_spend() -> None:
    retrier = _retrier(timeout_retry_ratio=0.0, timeout_retry_burst=0)
    assert await retrier.run(Sender(ReplicaLostError(), "ok"), deadline=_in(30)) == "ok"


async def test_the_deadline_ends_an_attempt() -> None:
    send = Sender("hang")
    with pytest.raises(DeadlineExceededError):
        await _retrier().run(send, deadline=_in(0.02))
    await until(lambda: send.num_cancelled == 1)


async def test_the_deadline_ends_repeated_attempts() -> None:
    send = Sender(*["hang"] * 4)
    retrier = _retrier(attempt_timeout_seconds=0.03)
    with pytest.raises(DeadlineExceededError):
        await retrier.run(send, deadline=_in(0.05))
    assert send.num_attempts <= 2


async def test_after_the_deadline_nothing_is_sent() -> None:
    send = Sender("ok")
    with pytest.raises(DeadlineExceededError):
        await _retrier().run(send, deadline=_in(-1))
    assert send.num_attempts == 0


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    send = Sender(ReplicaLostError(), "ok")
    retrier = _retrier(backoff_seconds=50, max_backoff_seconds=50)
    with pytest.raises(DeadlineExceededError, match="no time for another attempt"):
        await retrier.run(send, deadline=_in(10))


async def test_each_attempt_learns_how_much_time_is_left() -> None:
    send = Sender(ReplicaLostError(), ReplicaLostError(), "ok")
    await _retrier(backoff_seconds=0.01).run(send, deadline=_in(30))
    assert send.seconds_left[0] > send.seconds_left[1] > send.seconds_left[2]


async def test_a_caller_that_gives_up_takes_the_attempt_along() -> None:
    told: list[str] = []
    send = Sender("hang", "ok")
    running = asyncio.ensure_future(_retrier(told.append).run(send, deadline=_in(30)))
    await until(lambda: send.num_attempts == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: send.num_cancelled == 1)
    assert (send.num_attempts, told) == (1, [])


async def test_work_cancelled_below_waits_for_the_cancellation_of_its_caller() -> None:
    # Ray cancels the replica's call on its own, and now and then before the gateway's.
    told: list[str] = []
    send = Sender(asyncio.CancelledError(), "ok")
    running = asyncio.ensure_future(_retrier(told.append).run(send, deadline=_in(30)))
    await until(lambda: send.num_attempts == 1)
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (send.num_attempts, told) == (1, [])


async def test_work_cancelled_below_alone_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.retry._CANCELLATION_SECONDS", 0.0)
    told: list[str] = []
    send = Sender(asyncio.CancelledError(), "ok")
    assert await _retrier(told.append).run(send, deadline=_in(30)) == "ok"
    assert told == ["lost"]


async def test_lost_work_has_a_budget_for_all_requests_together() -> None:
    # A request that kills its replicas takes no more of them along than that.
    retrier = _retrier(max_attempts=9, lost_retry_ratio=0.5, lost_retry_burst=3)
    send = Sender(*[ReplicaLostError()] * 9)
    with pytest.raises(ModelUnavailableError):
        await retrier.run(send, deadline=_in(30))
    assert send.num_attempts == 4
    for attempts in (1, 2, 1, 2):
        send = Sender(*[ReplicaLostError()] * 9)
        with pytest.raises(ModelUnavailableError):
            await retrier.run(send, deadline=_in(30))
        assert send.num_attempts == attempts


async def test_what_an_abandoned_attempt_ends_with_is_nobodys_concern() -> None:
    ended = asyncio.Event()

    async def send(seconds_left: float) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise PolyheadError("died of it") from None
        finally:
            ended.set()
        return "never"

    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with pytest.raises(DeadlineExceededError):
        await _retrier().run(send, deadline=_in(0.01))
    await ended.wait()
    await asyncio.sleep(0)
    assert complaints == []


def test_the_budget_is_a_share_of_the_requests_after_a_burst() -> None:
    budget = RetryBudget(ratio=0.5, burst=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
