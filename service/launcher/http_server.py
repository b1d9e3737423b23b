"""The HTTP server of a single process: uvicorn, with bounds on what its connections may hold up.

uvicorn waits for the rest of a head, and for a client to read its answer, as long as the client
likes. Here connections are bounded in number, in all and for each address, and in the time and the
bytes of whatever does not go on. Bodies are the affair of `service.gateway.front`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.gateway.front import WRITABLE, network_of

__all__ = ["ConnectionLimits", "HttpServer", "listening_socket"]

_BACKLOG = 2048
_LOOK_TICKS = 5
"""Tenths of a second between two looks at the connections."""
_END_SECONDS = 1
"""Time for connections to end, of which none has a request any more."""
_UNREAD_BYTES = 64 * 1024
"""Bytes of the answers before, at most, when the next request of a connection is begun."""
_MOST_ANSWER_BYTES = 16 * 2**20
"""More than any answer has: it is written as a whole, and its place is free."""
_READ_LOOK_SECONDS = 0.05
_MOST_HEAD_BYTES = 64 * 1024
"""Beside the chunk with which it begins; what is shorter and still too long gets an answer."""
_BYTES_PER_BODY_BYTE = 8
"""Bytes on the wire of a body in chunks of one byte, and two more."""
_UPGRADE = re.compile(rb"\r\nupgrade:(?![^\r]*websocket)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_MALFORMED = "the request must be HTTP/1.1 or HTTP/1.0, but is malformed"


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What connections may take."""

    most: int
    """One more is closed at once; from three quarters on, connections end with their answer."""
    most_per_address: int
    """From one IPv4 address or IPv6 /64."""
    head_seconds: float
    """For a request's line and headers."""
    idle_seconds: float
    """Between an answer and the next request."""
    stall_seconds: float
    """Without any progress in reading an answer."""
    max_body_bytes: int


class HttpServer(uvicorn.Server):
    """A server that leaves signals to its caller, and may run on any thread.

    Args:
        app: the application, behind a `FrontMiddleware`.
        limits: of connections.
    """

    def __init__(self, app: ASGIApp, limits: ConnectionLimits) -> None:
        # It tells of exceptions and malformed requests with their texts; the gateway has its log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        config = uvicorn.Config(
            app,
            http=_protocol(limits),
            ws="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            # Addresses are those of connections, whatever a client says.
            proxy_headers=False,
            server_header=False,
            headers=[("keep-alive", f"timeout={int(limits.idle_seconds)}")],
            # Any number of seconds, though its type says integers.
            timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]
            timeout_graceful_shutdown=_END_SECONDS,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Looks at the connections, and whether it is to end."""
        if counter % _LOOK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, _BoundedProtocol):
                    connection.look(now)
        return await super().on_tick(counter)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; "::" is that of both families.

    Raises:
        OSError: it cannot.
    """
    family, _, _, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(place, family=family, backlog=_BACKLOG, dualstack_ipv6=both)


class _BoundedProtocol(HttpToolsProtocol):
    """A connection."""

    limits: ClassVar[ConnectionLimits]
    of_address: ClassVar[Counter[str]]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._network = network_of(transport.get_extra_info("peername"))
        self._in_head = False
        self._message_bytes = 0
        self._head_since: float | None = self.loop.time()
        self._unsent = 0
        self._unsent_since = 0.0
        self._counted = (
            len(self.connections) < self.limits.most
            and self.of_address[self._network] < self.limits.most_per_address
        )
        if not self._counted:
            transport.abort()
            return
        self.of_address[self._network] += 1
        transport.set_write_buffer_limits(high=_MOST_ANSWER_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._counted:
            return
        self.of_address[self._network] -= 1
        if not self.of_address[self._network]:
            del self.of_address[self._network]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_idle:
            if self._head_since is None:
                self._head_since = self.loop.time()
            if not self._in_head:
                data = _without_upgrade(data)
        was_in_head = self._in_head
        super().data_received(data)
        self._message_bytes += len(data)
        if was_in_head and self._in_head:
            most = _MOST_HEAD_BYTES
        else:
            most = _MOST_HEAD_BYTES + _BYTES_PER_BODY_BYTE * self.limits.max_body_bytes
        if self._message_bytes > most:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._message_bytes = 0
        # The application waits until the answers before have been read.
        self.scope["extensions"] = {WRITABLE: self._writable}  # type: ignore[dict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_since = None
        super().on_headers_complete()
        if len(self.connections) > self.limits.most * 3 // 4:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Says that it is no HTTP, unless that is the midst of an answer; ends the connection."""
        if self._is_idle or not self.cycle.response_started:
            self.transport.write(_malformed())
        self.transport.close()

    def look(self, now: float) -> None:
        """Ends a connection whose client has not gone on for too long."""
        if self._head_since is not None and now - self._head_since > self.limits.head_seconds:
            self.transport.abort()
            return
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > self.limits.stall_seconds:
            self.transport.abort()

    async def _writable(self) -> None:
        """Returns when the client has read its answers, or the connection is at its end."""
        while (
            not self.transport.is_closing()
            and self.transport.get_write_buffer_size() > _UNREAD_BYTES
        ):
            await asyncio.sleep(_READ_LOOK_SECONDS)

    @property
    def _is_idle(self) -> bool:
        """Whether there is no request, but for one whose head has not come yet."""
        return self.cycle is None or self.cycle.response_complete


def _protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The class of the connections of one server."""
    members: dict[str, Any] = {"limits": limits, "of_address": Counter()}
    return type("BoundedProtocol", (_BoundedProtocol,), members)


def _malformed() -> bytes:
    """The answer to what cannot be read, and so belongs to no contract: in the native form."""
    error = {"type": "malformed_request", "message": _MALFORMED}
    body = json.dumps({"error": error, "request_id": uuid.uuid4().hex}).encode()
    head = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def _without_upgrade(data: bytes) -> bytes:
    """The beginning of a request, in which no other protocol is asked for but WebSocket.

    The parser takes what follows such a head for that protocol, though servers may ignore the wish.
    """
    if b"pgrade:" not in data and b"PGRADE:" not in data:
        return data
    head, end, rest = data.partition(_END_OF_HEAD)
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest
