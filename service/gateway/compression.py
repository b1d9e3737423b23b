"""Long answers, compressed by gzip for clients that accept it."""

from __future__ import annotations

import asyncio
import gzip

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gateway.request_context import header

__all__ = ["CompressionMiddleware"]

_LEVEL = 4
_BYTES_AT_ONCE = 65536
"""More are compressed on a thread: answers with attention maps have millions."""


class CompressionMiddleware:
    """ASGI middleware that compresses whole answers of text from `least` bytes on.

    Starlette's makes a compressor for each request, also for short answers: that takes longer than
    the rest of the gateway's middleware. What is streamed passes unchanged.
    """

    def __init__(self, app: ASGIApp, *, least: int) -> None:
        self._app = app
        self._least = least

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or "gzip" not in (header(scope, b"accept-encoding") or ""):
            await self._app(scope, receive, send)
            return
        start: Message = {}

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start:
                begin, start = start, {}
                body = message.get("body", b"")
                if not message.get("more_body", False) and len(body) >= self._least:
                    if len(body) <= _BYTES_AT_ONCE:
                        begin, message = _compressed(begin, message)
                    else:
                        begin, message = await asyncio.to_thread(_compressed, begin, message)
                await send(begin)
            await send(message)

        await self._app(scope, receive, send_compressed)


def _compressed(start: Message, message: Message) -> tuple[Message, Message]:
    """The two messages of an answer, compressed if it is text."""
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "")
    if "content-encoding" in headers or not kind.startswith(("application/json", "text/")):
        return start, message
    body = gzip.compress(message["body"], _LEVEL, mtime=0)
    kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
    more = [
        (b"content-encoding", b"gzip"),
        (b"content-length", str(len(body)).encode()),
        (b"vary", b"Accept-Encoding"),
    ]
    return {**start, "headers": kept + more}, {**message, "body": body}
