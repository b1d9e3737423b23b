"""A client for HTTP/1.1 that costs its sender little, for it shares its CPUs with the service.

Requests come by the hundred a second, and locust's client takes a millisecond for each, aiohttp
twice as much as this one, which does less: a POST, the status, two headers, the content.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

__all__ = ["Answer", "Client"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The parts of an answer that are judged."""

    status: int
    request_id: bytes | None
    """X-Request-Id."""
    has_retry_after: bool
    content: bytes


class Client:
    """Connections to one service, kept open between requests; as many as it has requests to wait
    for.
    """

    def __init__(self, url: str) -> None:
        """`url`: where the service is, as `LoadTestOptions` allows it."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._tls = ssl.create_default_context() if secure else None
        self._path = parts.path.rstrip("/")
        self._head = (
            f"Host: {parts.netloc.rpartition('@')[2]}\r\nContent-Type: application/json\r\n"
            "Cache-Control: no-cache\r\n"  # texts come again, and are to be translated again
        )
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self.reconnections = 0
        """How often a connection was found closed between two requests."""

    def encode(self, path: str, content: bytes, *headers: str) -> tuple[bytes, bytes]:
        """A request in two pieces, between which a line for X-Request-Id belongs."""
        lines = "".join(f"{header}\r\n" for header in headers)
        length = f"Content-Length: {len(content)}\r\n"
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}{length}{lines}X-Request-Id: "
        return head.encode(), b"\r\n\r\n" + content

    async def send(self, request: bytes) -> Answer:
        """Sends a whole request and waits for the answer.

        A connection that was kept may have been closed meanwhile. As browsers do, a request that
        meets such a one is sent again over a new one.

        Raises:
            OSError: the connection cannot be made, or was lost.
            HttpParserError: the answer is no HTTP.
        """
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._exchange(connection, request)
            except ConnectionError:
                if connection.has_begun:
                    raise
                self.reconnections += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            _Connection, self._host, self._port, ssl=self._tls
        )
        self._open.add(connection)
        return await self._exchange(connection, request)

    async def _exchange(self, connection: _Connection, request: bytes) -> Answer:
        kept = False
        try:
            answer = await connection.ask(request)
            kept = connection.is_open
            return answer
        finally:
            if kept:
                self._idle.append(connection)
            else:  # also when nobody waits for the answer any more
                self._open.discard(connection)
                connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._forget()

    def _forget(self) -> None:
        self.has_begun = False
        self._request_id: bytes | None = None
        self._has_retry_after = False
        self._pieces: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether it can take a request, as far as is known here."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Sends, and waits for what comes back."""
        self._forget()
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed between two requests")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Closes it at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(
            exc if isinstance(exc, OSError) else ConnectionResetError("closed by the server")
        )

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.close()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"x-request-id":
                self._request_id = value
            case b"retry-after":
                self._has_retry_after = True

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is None or self._waiting.done():
            return
        self._waiting.set_result(
            Answer(
                status=self._parser.get_status_code(),
                request_id=self._request_id,
                has_retry_after=self._has_retry_after,
                content=b"".join(self._pieces),
            )
        )
