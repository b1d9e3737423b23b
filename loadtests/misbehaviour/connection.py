"""One connection of a client that minds neither HTTP nor its server."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from contextlib import suppress
from typing import Self

__all__ = ["Connection", "status_of"]

_LOOK_SECONDS = 0.5
_DRAIN_SECONDS = 5.0
_PIECE = 2**18
_OTHER_ADDRESS = "127.0.0.2"
"""Where connections within this machine come from: servers that share by address must be able to
tell them from those of a well-behaved client."""
_IP_BIND_ADDRESS_NO_PORT = 24
"""Linux's constant: the port is chosen when it is connected, so that the most connections fit."""


class Connection:
    """A TCP connection, from `async with` on until its end."""

    def __init__(self, host: str, port: int, receive_buffer: int | None = None) -> None:
        """`receive_buffer`: bytes that the kernel may keep for it; None leaves that to it."""
        self._address = host, port
        self._receive_buffer = receive_buffer
        self._loop = asyncio.get_running_loop()
        self.is_open = False

    async def __aenter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        try:
            self._socket.setblocking(False)
            if self._receive_buffer is not None:  # known to the server from the first packet on
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            if self._address[0] in ("127.0.0.1", "localhost") and sys.platform == "linux":
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                self._socket.bind((_OTHER_ADDRESS, 0))
            await self._loop.sock_connect(self._socket, self._address)
        except BaseException:
            self._socket.close()
            raise
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        """Sends all of it; OSError if the connection was lost."""
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self, seconds: float | None = None, *, size: int = _PIECE) -> bytes | None:
        """At most `size` bytes, none at the end of the connection; None if none came in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._loop.sock_recv(self._socket, size)
        except TimeoutError as error:
            if error.errno is not None:
                raise  # the kernel's own: the connection is lost
            return None

    async def whole(self, *, size: int = _PIECE, pause: float = 0.0) -> tuple[str, int]:
        """All that comes until the server ends the connection, `size` bytes at a time.

        Returns:
            The status of the first answer, "closed" if there was none, and the number of bytes.
        """
        head, total = b"", 0
        with suppress(ConnectionError):  # a reset is an end, too
            while data := await self.receive(size=size):
                head, total = (head + data)[:12], total + len(data)
                await asyncio.sleep(pause)
        return status_of(head), total

    async def lost(self) -> None:
        """Waits, without reading, until the server has closed or reset it."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        while not poll.poll(0):
            await asyncio.sleep(_LOOK_SECONDS)

    async def has_ended(self) -> bool:
        """Whether the server has closed it, perhaps behind bytes that nobody has read."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while data := await self.receive(_LOOK_SECONDS):
                    pass
                return data is not None
        except TimeoutError:
            return False
        except OSError:
            return True


def status_of(head: bytes) -> str:
    """The status that an answer begins with; "closed" if it is none of HTTP/1."""
    return head[9:12].decode("latin-1") if head.startswith(b"HTTP/1") else "closed"
