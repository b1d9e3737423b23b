"""Clients that ask again as soon as they are answered, and take only the one right answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus

from httptools import HttpParserError

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.exchange import ANSWER_BYTES, PATH, REQUEST_BYTES
from loadtests.open_loop.client import Client

__all__ = ["HOST", "Load", "generate_load"]

HOST = "127.0.0.1"
_LONGEST_ANSWER_SECONDS = 30.0


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
    except (OSError, HttpParserError) as error:
        raise BenchError(f"a connection failed: {error}") from error


async def _generate(port: int, clients: int, seconds: float) -> Load:
    latencies: list[float] = []
    started, cpu_before = time.monotonic(), time.process_time()
    async with (
        asyncio.timeout(seconds + _LONGEST_ANSWER_SECONDS),
        Client(f"http://{HOST}:{port}") as client,
    ):
        asking = [_ask(client, started + seconds, latencies) for _ in range(clients)]
        await asyncio.gather(*asking)
    return Load(
        latencies=tuple(latencies),
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_before,
        reconnections=client.reconnections,
    )


async def _ask(client: Client, until: float, latencies: list[float]) -> None:
    """One client."""
    head, tail = client.encode(PATH, REQUEST_BYTES)
    request = head + b"gateway-cost" + tail
    while (sent := time.monotonic()) < until:
        answer = await client.send(request)
        latencies.append(time.monotonic() - sent)
        if answer.status != HTTPStatus.OK:
            raise BenchError(f"an answer must be 200, but is {answer.status}: {answer.content!r}")
        if answer.content != ANSWER_BYTES:
            raise BenchError(f"an answer must be {ANSWER_BYTES!r}, but is {answer.content!r}")
