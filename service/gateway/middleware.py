"""ASGI middleware around every route: identity, observability, limits, client disconnects.

    ObservabilityMiddleware     request id, headers, log line, metrics; answers for exceptions
    └── AdmissionMiddleware     admission, the body within its limits, cancellation
        └── MethodsMiddleware   OPTIONS, and HEAD as GET
            └── CompressionMiddleware   long answers, compressed
                └── AccessMiddleware    API keys, limits of each client (access.py)
                    └── FastAPI     routes and their handlers

A handler is cancelled when its client disconnects: Ray Serve's proxy does that itself, and
AdmissionMiddleware does it for every other server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import CLIENT_CLOSED_REQUEST, BodyTimeoutError, BodyTooLargeError
from service.gateway.admission import PRIORITY_HEADER, Admission, priority_of
from service.gateway.answer_headers import AnswerHeaders
from service.gateway.request_bodies import is_compressed, uncompressed
from service.gateway.request_context import (
    OTHER_ROUTE,
    REFUSAL,
    REQUEST_ID_HEADER,
    RequestContext,
    header,
    request_id_from,
)
from service.observability.logs import log_failure, log_request
from service.observability.metrics import GatewayMetrics

__all__ = ["AdmissionMiddleware", "ErrorResponse", "ObservabilityMiddleware"]

_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()
_PRIORITY = PRIORITY_HEADER.lower().encode()
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

ErrorResponse = Callable[[RequestContext, BaseException], Response]
"""Makes the answer for an exception, in the error form of the route's contract."""


class ObservabilityMiddleware:
    """Gives each request its id; logs and counts it when it ends."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: GatewayMetrics,
        template_of: Callable[[Scope], str],
        meant_by: Callable[[str], str],
        error_response: ErrorResponse,
        answer_headers: AnswerHeaders,
        log_requests: bool,
        echo_request_id: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._template_of = template_of
        self._meant_by = meant_by
        self._error_response = error_response
        self._answer_headers = answer_headers
        self._log_requests = log_requests
        self._echo_request_id = echo_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; passes anything but HTTP through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, origin, echo = self._begin(scope)
        status = CLIENT_CLOSED_REQUEST
        started = False

        async def send_observed(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                self._answer_headers.add_to(headers, context, origin)
                if echo:
                    headers.append((_REQUEST_ID, context.request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception as exc:
            if started:
                # The status line has been sent: only the connection can still be broken.
                log_failure(context, exc, expected=False)
                raise
            response = self._error_response(context, exc)
            await response(scope, receive, send_observed)
        finally:
            status = context.ended_with or status
            seconds = time.monotonic() - context.started
            source, target = context.source, context.target
            self._metrics.observe_request(
                context.route, status, seconds, source=source, target=target
            )
            if self._log_requests:
                log_request(context, method=scope["method"], status=status)

    def _begin(self, scope: Scope) -> tuple[RequestContext, str | None, bool]:
        """The request's context, its origin, and whether the answer still needs its id."""
        given = header(scope, _REQUEST_ID)
        route = self._template_of(scope)
        context = RequestContext(request_id=request_id_from(given), route=route)
        if route == OTHER_ROUTE:
            context.meant = self._meant_by(scope["path"])
        context.attach(scope)
        return (
            context,
            header(scope, b"origin"),
            self._echo_request_id or context.request_id != given,
        )


class AdmissionMiddleware:
    """Admits a request and reads its body; cancels it when its client disconnects.

    Args:
        app: what it is around.
        admission: of requests.
        uploads: templates of routes that take files.
        max_upload_bytes: largest body there, in place of the limit of others.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        admission: Admission,
        uploads: Collection[str] = (),
        max_upload_bytes: int = 0,
    ) -> None:
        self._app = app
        self._admission = admission
        self._uploads = uploads
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; one without a body is short and is not cancelled."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (refusal := scope.get(REFUSAL)) is not None:
            raise refusal
        context = RequestContext.of(scope)
        if not _has_body(scope):
            with self._admission.slot(context, has_body=False):
                await self._app(scope, receive, send)
            return
        context.priority = priority_of(header(scope, _PRIORITY))
        is_upload = scope["method"] == "POST" and context.route in self._uploads
        most = self._max_upload_bytes if is_upload else self._admission.limits.max_body_bytes
        with self._admission.slot(context, has_body=True, is_upload=is_upload):
            compressed = is_compressed(header(scope, b"content-encoding"))
            body = await self._read_body(scope, receive, most)
            if body is not None and compressed:
                body = uncompressed(body, most)
            if body is not None:
                await self._run_while_connected(scope, body, receive, send)

    async def _read_body(self, scope: Scope, receive: Receive, most: int) -> bytes | None:
        """The whole body; None when the client disconnected before its end.

        Raises:
            BodyTooLargeError, BodyTimeoutError: it exceeds the limit of size or time.
        """
        announced = header(scope, b"content-length") or ""
        if announced.isdecimal() and int(announced[:20]) > most:
            raise BodyTooLargeError(f"the body must have at most {most} bytes, but has {announced}")
        seconds = self._admission.limits.body_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await _read_chunks(receive, most)
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
        disconnected = False

        async def cancel_on_disconnect() -> None:
            nonlocal disconnected
            await _wait_for_disconnect(receive)
            disconnected = True
            running.cancel()

        watcher = asyncio.create_task(cancel_on_disconnect())

        async def send_watched(message: Message) -> None:
            # A disconnect after the last byte of the answer cancels nothing.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                watcher.cancel()
            await send(message)

        try:
            await self._app(scope, _replay(body, watcher), send_watched)
        except asyncio.CancelledError:
            # Our own cancellation ends here; one from outside propagates.
            if not disconnected or running.uncancel() > 0:
                raise
        finally:
            watcher.cancel()


def _has_body(scope: Scope) -> bool:
    """Whether the method or the headers (of HTTP/1.1) announce a body."""
    return scope["method"] in _METHODS_WITH_BODY or any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _wait_for_disconnect(receive: Receive) -> None:
    """Returns when the client has disconnected, or `receive` fails, which means the same."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception:
        return


async def _read_chunks(receive: Receive, most: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            message = await receive()
        except Exception:
            return None  # means a disconnect, too
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
    """A `receive` that returns the body read before, then waits for the disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.shield(disconnected)
        return {"type": "http.disconnect"}

    return receive
