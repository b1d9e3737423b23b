"""A service in a thread that translates at once, and bears misbehaving clients well or badly."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Server:
    """What is good or bad about it."""

    url: str = ""
    patience: float | None = 0.2
    """Seconds for a request to come and for an answer to go; None waits without end."""
    resets: bool = True
    """Whether a connection ends with RST then, not with FIN behind what was sent."""
    refuses: bool = True
    """Whether what is no HTTP, and other methods, get an answer of 4xx."""
    answer_bytes: int = 64
    """Size of an answer with several hypotheses."""
    seconds: float = 0.0
    """For an answer."""
    places: int = 100_000
    """A connection that comes while so many are open gets 503, however late it is answered."""
    limits: dict[str, object] | None = None
    """What /openapi.json states."""
    num_open: int = 0
    addresses: set[str] = field(default_factory=set)
    """Where connections came from."""
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.num_open += 1
        has_place = self.num_open <= self.places
        self.addresses.add(writer.get_extra_info("peername")[0])
        self.tasks.add(asyncio.current_task())
        try:
            while await self._exchange(reader, writer, has_place):
                pass
        except TimeoutError:
            if self.resets:
                end: socket.socket = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.num_open -= 1
            writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, has_place: bool
    ) -> bool:
        """Whether the connection is kept."""
        try:
            async with asyncio.timeout(self.patience):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                _, _, length = head.lower().partition("content-length: ")
                body = await reader.readexactly(int(length.split("\r")[0])) if length else b""
        except (asyncio.LimitOverrunError, ValueError):
            head, body = "", b""
        if "upgrade:" in head.lower() and self.patience is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds)
        status, content = self._answer(head, body) if has_place else (503, b"{}")
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        writer.write(content)
        async with asyncio.timeout(self.patience):
            await writer.drain()
        if status == 200 and head and "connection: close" not in head.lower():
            return True
        writer.write_eof()
        return False

    def _answer(self, head: str, body: bytes) -> tuple[int, bytes]:
        if head.startswith("GET /openapi.json ") and self.limits is not None:
            fields = {"properties": self.limits}
            return 200, json.dumps(
                {"components": {"schemas": {"GenerationOptions": fields}}}
            ).encode()
        if head.startswith("GET /health HTTP/1.1"):
            return 200, b"{}"
        try:
            request = json.loads(body)
            texts = request.get("texts") or [request["text"]]
        except (ValueError, KeyError):
            return (400 if self.refuses else 200), b"{}"
        if request.get("generation", {}).get("num_hypotheses", 1) > 1:
            return 200, b" " * self.answer_bytes
        translations = [{"text": f"de:{text}", "finish_reason": "stop"} for text in texts]
        return 200, json.dumps({"model": "fake", "translations": translations}).encode()


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """It listens on a free port of loopback, which `url` names."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)

    async def end(listener: asyncio.Server) -> None:
        # What asyncio itself does for a connection that has just come needs its listener.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others & server.tasks:
                task.cancel()
            await asyncio.wait(others, timeout=0.1)
        listener.close()

    listener = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(end(listener), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
