"""What a Serve handle raises, in the router's terms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from model.errors import DeadlineExceededError, EngineDeadError, InvalidRequestError, QueueFullError
from service.attempts import attempt_at
from service.errors import ModelUnavailableError
from service.protocol import ModelInfo, TranslateCall, TranslateReply
from service.routing import Destination, Router
from service.serve_backend import LOST, ServeBackend
from tests.fakes import PROMPT_RETRIES, until

_INFO = ModelInfo(
    name="m", pairs=(("en", "de"),), device="cpu", dtype="float32", num_parameters=1,
    max_source_tokens=9,
)  # fmt: skip
_CALL = TranslateCall(request_id="r", texts=("a",), source="en", target="de")
_REPLY = TranslateReply(
    model="m", translations=(), queue_seconds=0.0, encode_seconds=0.0, decode_seconds=0.0
)


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

    def cancel(self) -> None:
        self.cancelled = True


class _Handle:
    """A DeploymentHandle whose calls end with the next outcome."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.responses: list[_Response] = []
        self.info = self.translate = self

    def remote(self, *_: Any) -> _Response:
        self.responses.append(_Response(self._outcomes.pop(0)))
        return self.responses[-1]


def _backend(*outcomes: Any) -> tuple[ServeBackend, _Handle]:
    handle = _Handle(*outcomes)
    return ServeBackend("m", handle), handle  # type: ignore[arg-type]


def _carried(cause: Exception) -> BaseException:
    """As Ray hands over what a replica raised: of both types, with a traceback for a text."""
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
        await backend.info()


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


async def test_a_dead_engine_is_shunned() -> None:
    never = asyncio.Event()
    backend, _ = _backend(never)
    waiting = asyncio.create_task(backend.translate(_CALL))
    await until(lambda: attempt_at(id(_CALL)) is not None)
    attempt = attempt_at(id(_CALL))
    assert attempt is not None
    shunned = asyncio.Event()
    attempt.shun = shunned.set
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not shunned.is_set()

    class _Shunned(_Handle):
        def remote(self, *arguments: Any) -> _Response:
            attempt = attempt_at(id(arguments[0]))
            assert attempt is not None
            attempt.shun = shunned.set
            return super().remote(*arguments)

    backend = ServeBackend("m", _Shunned(EngineDeadError("dead")))  # type: ignore[arg-type]
    with pytest.raises(EngineDeadError):
        await backend.translate(_CALL)
    assert shunned.is_set()


@pytest.mark.parametrize(
    "error",
    [
        _broken(StatusCode.CANCELLED),
        _broken(StatusCode.INTERNAL),
        RequestCancelledError("r"),
        ActorDiedError(),
        ActorUnavailableError("gone", b"0" * 16),
        NodeDiedError("gone"),
        _carried(EngineDeadError("dead")),
    ],
)
async def test_the_router_repeats_what_was_lost(error: Exception) -> None:
    reasons: list[str] = []
    backend, handle = _backend(error, error, _REPLY)
    router = Router({"m": backend}, retry=PROMPT_RETRIES, lost=LOST, on_retry=reasons.append)
    destination = Destination(backend=backend, info=_INFO, source="en", target="de")
    reply = await router.translate(destination, _CALL, deadline=time.monotonic() + 60)
    assert reply is _REPLY
    assert len(handle.responses) == 3
    assert len(set(reasons)) == 1
    assert reasons[0] in ("lost", "unavailable")
