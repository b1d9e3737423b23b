"""A backend behind a Ray Serve handle: the one place that maps Ray's errors to ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)

from model.errors import EngineDeadError, PolyheadError
from service.errors import ModelUnavailableError
from service.protocol import TranslateCall, TranslateReply
from service.routing.attempts import Attempt, num_replicas
from service.routing.call_batches import CallBatches, UnknownMethodError
from service.routing.call_stream import CallEvent, CallStream
from service.routing.router import ReplicaLostError

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

__all__ = ["ServeBackend"]

_REPLICA_LOST: tuple[type[Exception], ...] = (
    RayActorError,  # the replica died, or the connection to it
    NodeDiedError,
    WorkerCrashedError,
    ObjectLostError,  # the answer was lost with its node
    TaskCancelledError,  # by a replica that stopped, or by service.routing.replica_health
    ReplicaUnavailableError,
)

_BROKEN_CONNECTION = frozenset(
    {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
)
"""gRPC's codes for the death of the remote process, which Serve passes on in part. Other errors,
such as a message that is too long, would recur in a retry."""

_UNKNOWN_METHOD = "Tried to call a method"
"""What Serve's message begins with for a method that a replica does not have."""

_CANCELLATION_SECONDS = 2.0
"""Ray cancels a request and its subordinate calls one by one, in no guaranteed order."""


class ServeBackend:
    """The backend of one translator deployment.

    Args:
        handle: the deployment's.
        shared: whether its replicas load models on demand: calls for one model then go to the same
            replicas, if they can.
    """

    def __init__(self, handle: DeploymentHandle[Any], *, shared: bool = False) -> None:
        self._handle = handle
        self._shared = shared
        self._batches = CallBatches(
            partial(self._stream, "translate_together"), lambda: self.num_replicas
        )

    @property
    def num_replicas(self) -> int:
        """The replicas that can take calls now; 0 before the first call."""
        return num_replicas(self._handle.app_name, self._handle.deployment_name)

    async def check(self) -> None:
        """Asks one replica whether it is healthy; raises what it raises."""
        await self._call("check_health")

    async def close(self) -> None:
        """Stops listening to Serve's controller; no call may be in work."""
        await self._handle.shutdown_async()  # type: ignore[no-untyped-call]

    async def translate(
        self, call: TranslateCall, attempt: Attempt | None = None
    ) -> TranslateReply:
        """The reply of one replica; see `service.routing.router.Backend`."""
        attempt = attempt or Attempt()
        attempt.model = call.model.id if self._shared else None
        alone = partial(self._call, "translate", call, attempt=attempt)
        return await self._batches.translate(call, attempt, alone)

    async def stream(self, call: TranslateCall, attempt: Attempt | None = None) -> CallStream:
        """The events of one replica; see `service.routing.router.Backend`."""
        return await CallStream.begun(self._events(call, attempt or Attempt()))

    async def _events(self, call: TranslateCall, attempt: Attempt) -> AsyncGenerator[CallEvent]:
        attempt.model = call.model.id if self._shared else None
        reply: TranslateReply | None = None
        async with aclosing(self._stream("stream", attempt, call)) as events:
            async for event in events:
                if isinstance(event, TranslateReply):
                    reply = event  # to the end, or Serve would take it for cancelled
                else:
                    yield event
        if reply is None:
            raise ReplicaLostError("the replica ended the call without a reply")
        yield reply

    async def _stream(self, method: str, attempt: Attempt, *args: Any) -> AsyncGenerator[Any]:
        """What a method of one replica yields; to close it cancels the replica's work."""
        with attempt:
            handle = self._handle.options(
                method_name=method, session_id=attempt.call_id, stream=True
            )
            items: Any = handle.remote(*args)
            done = False
            try:
                async with _our_errors(items, attempt):
                    async for item in items:
                        yield item
                    done = True
            finally:
                if not done:
                    items.cancel()

    async def _call(self, method: str, *args: Any, attempt: Attempt | None = None) -> Any:
        with attempt or Attempt() as attempt:
            handle = self._handle.options(method_name=method, session_id=attempt.call_id)
            response: Any = handle.remote(*args)
            async with _our_errors(response, attempt):
                return await response


@asynccontextmanager
async def _our_errors(response: Any, attempt: Attempt) -> AsyncIterator[None]:
    """What a response raises in our own terms; it is cancelled where who waits for it is."""
    attempt.cancel = response.cancel
    try:
        yield
    except asyncio.CancelledError:
        # Serve cancels the replica's work when the client's request is cancelled, but not when only
        # this attempt is.
        response.cancel()
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        # If the client has disconnected, this task is cancelled next.
        await asyncio.sleep(_CANCELLATION_SECONDS)
        raise ReplicaLostError("the replica cancelled the call") from None
    except _REPLICA_LOST as error:
        raise ReplicaLostError("the replica ended before the call") from error
    except RayTaskError as error:
        if isinstance(error.cause, EngineDeadError):
            attempt.exclude_replica()
        # The message of Ray's wrapper is a traceback of another process.
        if isinstance(error.cause, PolyheadError):
            raise error.cause from None
        if isinstance(error.cause, RayServeException):
            raise _unknown_method(error.cause) from None
        raise
    except grpc.aio.AioRpcError as error:
        if error.code() in _BROKEN_CONNECTION:
            raise ReplicaLostError("the connection to the replica ended") from error
        raise
    except (BackPressureError, DeploymentUnavailableError) as error:
        raise ModelUnavailableError("no replica of the model takes calls now") from error
    except RayServeException as error:  # of which those before are kinds
        raise _unknown_method(error) from None


def _unknown_method(error: RayServeException) -> Exception:
    """The error itself, unless it says that the replica does not have the method."""
    if str(error).startswith(_UNKNOWN_METHOD):
        return UnknownMethodError("the replica is of another version")
    return error
