"""The client of open loops against servers that say what they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from httptools import HttpParserError

from loadtests.open_loop.client import Client

_OK = b"HTTP/1.1 200 OK\r\nX-Request-ID: 7\r\nContent-Length: 2\r\n\r\nhi"
_BUSY = b"HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"


@asynccontextmanager
async def _server(*connections: Sequence[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """One list of answers for each connection, after which it is closed; and what was asked."""
    asked: list[bytes] = []
    answers = iter(connections)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in next(answers):
            asked.append(await reader.readuntil(b"}"))
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/", asked


async def _ask(client: Client) -> tuple[int, bytes | None, bool, bytes]:
    head, tail = client.encode("/v1/translate", b"{}", "A: b")
    answer = await client.send(head + b"7" + tail)
    return answer.status, answer.request_id, answer.has_retry_after, answer.content


async def test_a_connection_serves_one_request_after_another() -> None:
    async with _server([_OK, _CHUNKED, _BUSY], [_OK]) as (url, asked), Client(url) as client:
        assert await _ask(client) == (200, b"7", False, b"hi")
        assert await _ask(client) == (200, None, False, b"hi")
        assert await _ask(client) == (503, None, True, b"")
        assert await _ask(client) == (200, b"7", False, b"hi"), "a new one, for that was closed"
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"POST /base/v1/translate HTTP/1.1"
    assert {b"Content-Length: 2", b"A: b", b"X-Request-Id: 7"} <= set(lines)
    assert lines[-2:] == [b"", b"{}"]


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with _server([_OK], [_OK]) as (url, _), Client(url) as client:
        first, second = await asyncio.gather(_ask(client), _ask(client))
    assert first[0] == second[0] == 200


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    # The server closes it after its first answer without having said so.
    async with _server([_OK], [_OK]) as (url, asked), Client(url) as client:
        assert (await _ask(client))[0] == 200
        assert client.reconnections == 0
        assert (await _ask(client))[0] == 200
        assert client.reconnections == 1
    assert len(asked) == 2


async def test_a_new_connection_that_is_closed_is_no_answer() -> None:
    async with _server([b""]) as (url, asked), Client(url) as client:
        with pytest.raises(ConnectionError):
            await _ask(client)
    assert len(asked) == 1


async def test_half_an_answer_is_not_asked_for_again() -> None:
    async with _server([_OK, _OK[:-1]], [_OK]) as (url, asked), Client(url) as client:
        await _ask(client)
        with pytest.raises(ConnectionError):
            await _ask(client)
    assert len(asked) == 2


async def test_what_is_no_http_is_no_answer() -> None:
    async with _server([b"hello\r\n\r\n"]) as (url, _), Client(url) as client:
        with pytest.raises(HttpParserError):
            await _ask(client)


async def test_an_answer_that_nobody_waits_for_does_not_go_to_the_next() -> None:
    async with _server([b""], [_OK]) as (url, _), Client(url) as client:
        with pytest.raises((TimeoutError, ConnectionError)):
            async with asyncio.timeout(0):
                await _ask(client)
        assert await _ask(client) == (200, b"7", False, b"hi")
