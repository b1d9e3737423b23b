"""Clients that ask again as soon as they are answered: HTTP/1.1 as plain as it can be.

The generator shares the machine with what it measures, so it does no more than is needed to know
that an answer is right.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.exchange import ANSWER_BYTES, PATH, REQUEST_BYTES

__all__ = ["HOST", "Load", "generate_load"]

HOST = "127.0.0.1"
_LONGEST_ANSWER_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_REQUEST = (
    f"POST {PATH} HTTP/1.1\r\n"
    f"Host: {HOST}\r\n"
    "Content-Type: application/json\r\n"
    f"Content-Length: {len(REQUEST_BYTES)}\r\n\r\n"
).encode() + REQUEST_BYTES


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a number of clients saw."""

    latencies: tuple[float, ...]
    """Seconds from the first byte of each request to the last one of its answer."""
    seconds: float
    """From the first request to the last answer."""
    cpu_seconds: float
    """What the clients themselves used."""
    reconnections: int
    """How often a connection was closed between two requests."""


def generate_load(port: int, *, clients: int, seconds: float) -> Load:
    """Has `clients` ask for `seconds`; whoever has asked by then waits for the answer.

    Raises:
        BenchError: an answer is wrong, or does not come.
    """
    try:
        return asyncio.run(_generate(port, clients, seconds))
    except TimeoutError:
        late = f"within {_LONGEST_ANSWER_SECONDS:g} s"
        raise BenchError(f"every request must be answered {late}, but one was not") from None
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise BenchError(f"a connection failed: {error}") from error


async def _generate(port: int, clients: int, seconds: float) -> Load:
    latencies: list[float] = []
    started, cpu_before = time.monotonic(), time.process_time()
    async with asyncio.timeout(seconds + _LONGEST_ANSWER_SECONDS):
        asking = [_ask(port, started + seconds, latencies) for _ in range(clients)]
        reconnections = sum(await asyncio.gather(*asking))
    return Load(
        latencies=tuple(latencies),
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_before,
        reconnections=reconnections,
    )


async def _ask(port: int, until: float, latencies: list[float]) -> int:
    """One client; returns how often its connection was closed between two requests."""
    closed = 0
    while not await _ask_while_connected(port, until, latencies):
        closed += 1
    return closed


async def _ask_while_connected(port: int, until: float, latencies: list[float]) -> bool:
    """Whether the connection held: a server may close it, but not instead of its first answer."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answered = False
    try:
        while (sent := time.monotonic()) < until:
            await _exchange(reader, writer)
            latencies.append(time.monotonic() - sent)
            answered = True
    except (ConnectionResetError, asyncio.IncompleteReadError) as error:
        begun = isinstance(error, asyncio.IncompleteReadError) and bool(error.partial)
        if begun or not answered:
            raise
        return False
    finally:
        writer.close()
    return True


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise BenchError(f"an answer must be 200 with its length, but is {head!r}")
    body = await reader.readexactly(int(length[1]))
    if body != ANSWER_BYTES:
        raise BenchError(f"an answer must be {ANSWER_BYTES!r}, but is {body!r}")
