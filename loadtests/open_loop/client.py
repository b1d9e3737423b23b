"""A client for HTTP/1.1 that costs its sender little, for it shares its CPUs with the service.

Requests come by the hundred a second, and locust's client takes a millisecond for each, aiohttp
twice as much as this one, which does less: a POST, the status, two headers, the content.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from httptools import HttpResponseParser

__all__ = ["Answer", "Client"]

_MOST_BYTES = 65_536


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
        streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        connection = _Connection(*streams)
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


class _Connection:
    """One request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = HttpResponseParser(self)
        self._forget()

    def _forget(self) -> None:
        self.has_begun = False
        self._request_id: bytes | None = None
        self._has_retry_after = False
        self._pieces: list[bytes] = []
        self._answer: Answer | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can take a request, as far as is known here."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def ask(self, request: bytes) -> Answer:
        """Sends, and waits for what comes back."""
        self._forget()
        if not self.is_open:
            raise ConnectionResetError("closed between two requests")
        self._writer.write(request)
        while self._answer is None:
            if not (data := await self._reader.read(_MOST_BYTES)):
                raise ConnectionResetError("closed by the server")
            self.has_begun = True
            self._parser.feed_data(data)
        return self._answer

    def close(self) -> None:
        """Closes it at once, whatever is under way."""
        self._writer.transport.abort()

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
        self._answer = Answer(
            status=self._parser.get_status_code(),
            request_id=self._request_id,
            has_retry_after=self._has_retry_after,
            content=b"".join(self._pieces),
        )
