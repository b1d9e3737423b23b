"""A model behind a Ray Serve handle, as the router sees it."""

from __future__ import annotations

import asyncio
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
    ReplicaUnavailableError,
    RequestCancelledError,
)

from model.errors import EngineDeadError, PolyheadError
from service.attempts import Attempt
from service.errors import ModelUnavailableError
from service.protocol import ModelInfo, TranslateCall, TranslateReply

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

__all__ = ["LOST", "ConnectionLostError", "ServeBackend"]


class ConnectionLostError(Exception):
    """The connection to the replica ended before there was an answer."""


LOST: tuple[type[Exception], ...] = (
    RayActorError,  # the replica died, or its connection did: what it had accepted is gone
    NodeDiedError,
    WorkerCrashedError,
    ObjectLostError,  # the answer was there, but died with its node
    TaskCancelledError,  # by a replica that had to stop; our own cancellation does not come here
    ReplicaUnavailableError,
    ConnectionLostError,
    RequestCancelledError,  # because the replica fell silent; see service.replica_watch
)
"""What a call ends with when its replica is gone. Translating is safe to repeat."""


_BROKEN_CONNECTION = frozenset(
    {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
)
"""gRPC's words for the end of a process at the other side, which Serve passes on in part. Others,
as for a message that is too long, would be the same a second time."""


class ServeBackend:
    """One translator deployment: any number of replicas, Serve chooses among them."""

    def __init__(self, name: str, handle: DeploymentHandle[Any]) -> None:
        self._name = name
        self._handle = handle

    @property
    def name(self) -> str:
        """The model's name in the settings."""
        return self._name

    async def info(self) -> ModelInfo:
        """What one of the replicas holds."""
        reply: ModelInfo = await self._answer("info")
        return reply

    async def translate(self, call: TranslateCall) -> TranslateReply:
        """Raises the errors of `model.errors` as the replica raised them, one of `LOST`, or
        ModelUnavailableError when Serve has no replica to give the call to."""
        reply: TranslateReply = await self._answer("translate", call)
        return reply

    async def _answer(self, method: str, *args: Any) -> Any:
        with Attempt(args[0] if args else object()) as attempt:
            response: Any = getattr(self._handle, method).remote(*args)
            attempt.give_up = response.cancel
            try:
                return await _outcome(response)
            except EngineDeadError:
                attempt.shun()
                raise


async def _outcome(response: Any) -> Any:
    """The answer, or the error in our own terms."""
    try:
        return await response
    except asyncio.CancelledError:
        # Serve cancels a replica's work by itself when the client's request is cancelled, but
        # not when it is only this attempt that was given up.
        response.cancel()
        raise
    except RayTaskError as error:
        # The text of what carries it is a traceback of another process.
        if isinstance(error.cause, PolyheadError):
            raise error.cause from None
        raise
    except grpc.aio.AioRpcError as error:
        if error.code() in _BROKEN_CONNECTION:
            raise ConnectionLostError(error.details()) from error
        raise
    except (BackPressureError, DeploymentUnavailableError) as error:
        raise ModelUnavailableError("no replica of the model takes calls now") from error
