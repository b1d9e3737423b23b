"""What a Serve handle raises, in our own terms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException, RequestCancelledError

from model.errors import DeadlineExceededError, EngineDeadError, InvalidRequestError, QueueFullError
from model.translation import TextDelta
from service.errors import ModelUnavailableError
from service.observability.metrics import GatewayMetrics
from service.protocol import TranslateCall, TranslateReply
from service.routing.attempts import Attempt, attempt_of, count_replicas
from service.routing.retry import Retrier
from service.routing.router import ReplicaLostError
from service.routing.serve_backend import ServeBackend
from tests.fakes import HOSTED, PROMPT_RETRIES, until

_CALL = TranslateCall(request_id="r", model=HOSTED, texts=("a",), source="en", target="de")
_REPLY = TranslateReply(model="m", translations=())


class _Response:
    """A DeploymentResponse that ends as it is told."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        if isinstance(self._outcome, asyncio.Event):
            await self._outcome.wait()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    async def __aiter__(self) -> AsyncIterator[Any]:
        """For a stream, a list of events, of which the last may be an error or never come."""
        for event in self._outcome:
            if isinstance(event, asyncio.Event):
                await event.wait()
            if isinstance(event, BaseException):
                raise event
            yield event

    def cancel(self) -> None:
        self.cancelled = True


class _Handle:
    """A DeploymentHandle whose calls end with the next outcome."""

    app_name, deployment_name = "application", "Translator-m"

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.responses: list[_Response] = []
        self.attempts: list[Attempt] = []
        self.excluded: list[str] = []

    def options(self, *, method_name: str, session_id: str, stream: bool = False) -> _Handle:
        attempt = attempt_of(session_id)
        assert attempt is not None
        attempt.exclude_replica = lambda: self.excluded.append(method_name)
        self.attempts.append(attempt)
        return self

    def remote(self, *_: Any) -> _Response:
        self.responses.append(_Response(self._outcomes.pop(0)))
        return self.responses[-1]


def _backend(*outcomes: Any) -> tuple[ServeBackend, _Handle]:
    handle = _Handle(*outcomes)
    return ServeBackend(handle), handle  # type: ignore[arg-type]


def _carried(cause: Exception) -> BaseException:
    """A replica's exception as Ray re-raises it: of both types, with a traceback as its message."""
    return RayTaskError("translate", "Traceback ...", cause).as_instanceof_cause()


@pytest.mark.parametrize(
    "cause",
    [
        InvalidRequestError("`texts` must be ..."),
        QueueFullError("full"),
        DeadlineExceededError("late"),
        EngineDeadError("dead"),
    ],
)
async def test_our_own_errors_arrive_as_they_were_raised(cause: Exception) -> None:
    backend, _ = _backend(_carried(cause))
    with pytest.raises(type(cause)) as caught:
        await backend.translate(_CALL)
    assert caught.value is cause
    assert str(caught.value) == str(cause.args[0])


async def test_other_errors_of_a_replica_stay_what_they_are() -> None:
    backend, _ = _backend(_carried(ZeroDivisionError("1/0")))
    with pytest.raises(ZeroDivisionError):
        await backend.translate(_CALL)


async def test_nobody_to_ask_is_unavailable() -> None:
    backend, _ = _backend(BackPressureError(3, 2))
    with pytest.raises(ModelUnavailableError, match="takes calls now"):
        await backend.check()


async def test_giving_up_cancels_the_replicas_work() -> None:
    never = asyncio.Event()
    backend, handle = _backend(never)
    waiting = asyncio.create_task(backend.translate(_CALL))
    await until(lambda: handle.responses != [])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert handle.responses[0].cancelled


def _broken(code: StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details="Socket closed")


async def test_a_message_that_is_too_long_is_not_lost() -> None:
    backend, _ = _backend(_broken(StatusCode.RESOURCE_EXHAUSTED))
    with pytest.raises(AioRpcError):
        await backend.translate(_CALL)


async def test_the_replica_of_a_dead_engine_is_excluded() -> None:
    backend, handle = _backend(_carried(QueueFullError("full")), _carried(EngineDeadError("dead")))
    with pytest.raises(QueueFullError):
        await backend.translate(_CALL)
    assert handle.excluded == []
    with pytest.raises(EngineDeadError):
        await backend.translate(_CALL)
    assert handle.excluded == ["translate"]


async def test_each_call_has_an_id_of_its_own_as_long_as_it_is_under_way() -> None:
    answer = asyncio.Event()
    backend, handle = _backend(answer, answer, answer)
    calls = [backend.check(), backend.check(), backend.translate(_CALL)]
    running = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: len(handle.responses) == 3)
    assert len({attempt.call_id for attempt in handle.attempts}) == 3
    for attempt, response in zip(handle.attempts, handle.responses, strict=True):
        assert attempt_of(attempt.call_id) is attempt
        attempt.cancel()
        assert response.cancelled
    answer.set()
    await asyncio.gather(*running)
    assert {attempt_of(attempt.call_id) for attempt in handle.attempts} == {None}


_LOST = [
    _broken(StatusCode.CANCELLED),
    _broken(StatusCode.INTERNAL),
    RequestCancelledError("r"),
    ActorDiedError(),
    ActorUnavailableError("gone", b"0" * 16),
    NodeDiedError("gone"),
]


@pytest.mark.parametrize("error", _LOST)
async def test_there_is_one_error_for_what_a_replica_lost(error: Exception) -> None:
    backend, _ = _backend(error, error)
    for call in (backend.check(), backend.translate(_CALL)):
        with pytest.raises(ReplicaLostError) as caught:
            await call
        assert caught.value.__cause__ is error


async def test_a_call_cancelled_below_waits_for_the_cancellation_of_its_caller() -> None:
    # Ray cancels the replica's call on its own, and now and then before the gateway's.
    backend, handle = _backend(asyncio.CancelledError())
    running = asyncio.ensure_future(backend.translate(_CALL))
    await until(lambda: handle.responses != [] and handle.responses[0].cancelled)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_call_cancelled_below_alone_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routing.serve_backend._CANCELLATION_SECONDS", 0.0)
    backend, _ = _backend(asyncio.CancelledError(), asyncio.CancelledError())
    for call in (backend.check(), backend.translate(_CALL)):
        with pytest.raises(ReplicaLostError):
            await call


@pytest.mark.parametrize("error", [*_LOST, _carried(EngineDeadError("dead"))])
async def test_what_was_lost_is_repeated(error: Exception) -> None:
    backend, handle = _backend(error, error, _REPLY)
    retrier = Retrier(PROMPT_RETRIES, GatewayMetrics())
    assert await retrier.translate(backend, _CALL, deadline=time.monotonic() + 60) is _REPLY
    assert len(handle.responses) == 3


@pytest.mark.parametrize(("shared", "model"), [(True, HOSTED.id), (False, None)])
async def test_calls_to_a_pool_say_their_model(shared: bool, model: str | None) -> None:
    handle = _Handle(_REPLY)
    assert await ServeBackend(handle, shared=shared).translate(_CALL) is _REPLY  # type: ignore[arg-type]
    assert [attempt.model for attempt in handle.attempts] == [model]


async def test_replicas_are_counted_by_the_request_router() -> None:
    backend, _ = _backend()
    assert backend.num_replicas == 0
    count_replicas("application", "Translator-m", 3)
    assert backend.num_replicas == 3
    count_replicas("application", "Translator-m", 0)


async def test_a_check_is_the_health_check_of_a_replica() -> None:
    backend, handle = _backend(None, _carried(EngineDeadError("stopped")))
    await backend.check()
    with pytest.raises(EngineDeadError):
        await backend.check()
    assert handle.excluded == ["check_health"]


_UNKNOWN = RayServeException(
    "Tried to call a method 'translate_together' that does not exist. Available methods: []."
)


@pytest.mark.parametrize("error", [_UNKNOWN, _carried(_UNKNOWN)], ids=["grpc", "actor"])
async def test_a_replica_of_an_earlier_version_gets_each_call_alone(error: Exception) -> None:
    backend, handle = _backend([error], _REPLY, _REPLY)
    replies = await asyncio.gather(backend.translate(_CALL), backend.translate(_CALL))
    assert [*replies] == [_REPLY, _REPLY]
    assert len(handle.responses) == 3


@pytest.mark.parametrize("error", [RayServeException("broken"), _carried(RayServeException("no"))])
async def test_another_error_of_serve_stays_what_it_is(error: Exception) -> None:
    backend, handle = _backend([error])
    asked = (backend.translate(_CALL), backend.translate(_CALL))
    for each in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(each, RayServeException)
    assert len(handle.responses) == 1


# --- streams --------------------------------------------------------------------------------------

_DELTAS = (TextDelta(0, "a"),)


async def test_a_stream_has_all_events() -> None:
    backend, handle = _backend([_DELTAS, _DELTAS, _REPLY])
    stream = await backend.stream(_CALL)
    assert attempt_of(handle.attempts[0].call_id) is handle.attempts[0]
    assert [event async for event in stream] == [_DELTAS, _DELTAS, _REPLY]
    await stream.close()
    assert not handle.responses[0].cancelled
    assert attempt_of(handle.attempts[0].call_id) is None


async def test_closing_a_stream_cancels_the_replicas_work() -> None:
    backend, handle = _backend([_DELTAS, asyncio.Event()])
    stream = await backend.stream(_CALL)
    await stream.close()
    assert handle.responses[0].cancelled
    assert attempt_of(handle.attempts[0].call_id) is None


@pytest.mark.parametrize("begun", [False, True])
async def test_giving_up_a_stream_cancels_the_replicas_work(begun: bool) -> None:
    backend, handle = _backend([*[_DELTAS] * begun, asyncio.Event()])

    async def read() -> None:
        async for _ in await backend.stream(_CALL):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: handle.responses != [])
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: handle.responses[0].cancelled)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("error", _LOST)
async def test_a_lost_stream_is_one_error(error: Exception, begun: bool) -> None:
    backend, _ = _backend([*[_DELTAS] * begun, error])
    with pytest.raises(ReplicaLostError):
        async for _ in await backend.stream(_CALL):
            pass


async def test_a_stream_without_a_reply_is_lost() -> None:
    backend, _ = _backend([_DELTAS])
    with pytest.raises(ReplicaLostError, match="without a reply"):
        async for _ in await backend.stream(_CALL):
            pass


async def test_our_own_errors_in_a_stream_arrive_as_they_were_raised() -> None:
    backend, handle = _backend([_DELTAS, _carried(EngineDeadError("dead"))])
    with pytest.raises(EngineDeadError, match="dead"):
        async for _ in await backend.stream(_CALL):
            pass
    assert handle.excluded == ["stream"]
