"""ASGI middleware around every route: identity, observability, limits, client disconnects.

    ObservabilityMiddleware     request id, log line, metrics; answers for uncaught exceptions
    └── AdmissionMiddleware     admission, the body within its limits, cancellation
        └── FastAPI             routes and their handlers

A handler is cancelled when its client disconnects: Ray Serve's proxy does that itself, and
AdmissionMiddleware does it for every other server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    CLIENT_CLOSED_REQUEST,
    BodyTimeoutError,
    BodyTooLargeError,
)
from service.gateway.admission import PRIORITY_HEADER, Admission, priority_of
from service.gateway.request_context import RequestContext, request_id_from
from service.observability.logs import log_failure, log_request

__all__ = ["AdmissionMiddleware", "ObservabilityMiddleware", "RequestMetrics"]

REQUEST_ID_HEADER = "X-Request-Id"
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

ErrorResponse = Callable[[RequestContext, BaseException], Response]
"""The answer that tells a client of an exception, in the words of the route's API."""


class RequestMetrics(Protocol):
    """Where the numbers of the requests go."""

    def read_in_flight(self, source: Callable[[], Mapping[str, int]]) -> None:
        """From now on, the requests in flight by route are what `source` returns."""

    def observe_request(
        self, route: str, status: int, seconds: float, *, source: str = "", target: str = ""
    ) -> None:
        """A request was answered, or its client has gone."""

    def count_overload(self) -> None:
        """A request was refused for overload."""


class ObservabilityMiddleware:
    """Gives each request its id, and a line in the log and in the metrics when it ends."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        template_of: Callable[[Scope], str],
        error_response: ErrorResponse,
        log_requests: bool,
        echo_request_id: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._template_of = template_of
        self._error_response = error_response
        self._log_requests = log_requests
        self._echo_request_id = echo_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, echo = self._begin(scope)
        status = CLIENT_CLOSED_REQUEST
        started = False

        async def send_observed(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                if echo:
                    MutableHeaders(scope=message)[REQUEST_ID_HEADER] = context.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception as exc:
            if started:
                # The status line is out: all that is left is to break the connection.
                log_failure(context, exc, expected=False)
                raise
            response = self._error_response(context, exc)
            await response(scope, receive, send_observed)
        finally:
            self._end(context, scope["method"], status)

    def _begin(self, scope: Scope) -> tuple[RequestContext, bool]:
        """The request's context, and whether its id is for us to put into the answer."""
        given = Headers(scope=scope).get(REQUEST_ID_HEADER)
        context = RequestContext(request_id=request_id_from(given), route=self._template_of(scope))
        context.attach(scope)
        return context, self._echo_request_id or context.request_id != given

    def _end(self, context: RequestContext, method: str, status: int) -> None:
        seconds = time.monotonic() - context.started
        self._metrics.observe_request(
            context.route, status, seconds, source=context.source, target=context.target
        )
        if self._log_requests:
            log_request(context, method=method, status=status)


class AdmissionMiddleware:
    """Admits a request, reads its body if it has one, and then cancels it if its client goes."""

    def __init__(self, app: ASGIApp, *, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; without a body it is cheap and short, and need not be watched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext.of(scope)
        if not _has_body(scope):
            with self._admission.slot(context, has_body=False):
                await self._app(scope, receive, send)
            return
        context.priority = priority_of(Headers(scope=scope).get(PRIORITY_HEADER))
        with self._admission.slot(context, has_body=True):
            body = await self._read_body(scope, receive)
            if body is not None:
                await self._run_while_connected(scope, body, receive, send)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when the client went away in its midst."""
        most = self._admission.limits.max_body_bytes
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > most:
            raise BodyTooLargeError(f"the body must have at most {most} bytes, but has {announced}")
        seconds = self._admission.limits.body_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await _gather(receive, most)
        except TimeoutError:
            raise BodyTimeoutError(
                f"the body must arrive within {seconds:g} s, but did not"
            ) from None

    async def _run_while_connected(
        self, scope: Scope, body: bytes, receive: Receive, send: Send
    ) -> None:
        running = asyncio.current_task()
        if running is None:
            raise RuntimeError("an ASGI application must be run by an asyncio task")
        gone = False

        async def watch() -> None:
            nonlocal gone
            await _until_gone(receive)
            gone = True
            running.cancel()

        watching = asyncio.create_task(watch())

        async def send_watched(message: Message) -> None:
            # After the last byte of the answer, a client that goes away interrupts nothing.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                watching.cancel()
            await send(message)

        try:
            await self._app(scope, _replay(body, watching), send_watched)
        except asyncio.CancelledError:
            # Our own cancellation ends here; one that came from outside goes on.
            if not gone or running.uncancel() > 0:
                raise
        finally:
            watching.cancel()


def _has_body(scope: Scope) -> bool:
    """Whether a body must be expected: by the method, or since HTTP/1.1's headers announce one."""
    return scope["method"] in _METHODS_WITH_BODY or any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _until_gone(receive: Receive) -> None:
    """Returns when the client has gone, or when the way to it is broken, which is no different."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception:
        return


async def _gather(receive: Receive, most: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            message = await receive()
        except Exception:
            return None  # the way to the client is broken: as good as gone
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise BodyTooLargeError(f"the body must have at most {most} bytes, but has more")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _replay(body: bytes, disconnected: asyncio.Task[Any]) -> Receive:
    """A `receive` that gives the body that was read, and then waits for the client to go."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.shield(disconnected)
        return {"type": "http.disconnect"}

    return receive
