"""The gateway behind a real server and real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
import uvicorn
from uvicorn.config import WS_PROTOCOLS

from service.gateway.front import FrontMiddleware
from service.gateway.upgrades import ignore_upgrades
from service.launcher.http_server import HttpServer, listening_socket
from tests.fakes import Gateway, until
from tests.unit.service.launcher.bounded_server import limits

Serve = Callable[[Gateway], AbstractAsyncContextManager[int]]

BODY = json.dumps({"text": "Hello", "source": "en", "target": "de"}).encode()


@asynccontextmanager
async def _served(gateway: Gateway) -> AsyncIterator[int]:
    """Serves the gateway on a free port of the loopback interface; gives the port."""
    config = uvicorn.Config(
        gateway.app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    async with _running(server) as port:
        yield port


@asynccontextmanager
async def _served_by_a_single_process(gateway: Gateway) -> AsyncIterator[int]:
    """The same with the server of a single process, and what stands before the gateway there."""
    settings = gateway.settings
    front = FrontMiddleware(gateway.app, settings.limits, settings.connections)
    server = HttpServer(front, limits())
    async with _running(server, listening_socket("127.0.0.1", 0)) as port:
        yield port


@pytest.fixture(params=[_served, _served_by_a_single_process], ids=["gateway", "single process"])
def served(request: pytest.FixtureRequest) -> Serve:
    """Either way to serve a gateway."""
    serve: Serve = request.param
    return serve


@asynccontextmanager
async def _running(server: uvicorn.Server, *sockets: socket.socket) -> AsyncIterator[int]:
    serving = asyncio.create_task(server.serve(list(sockets) or None))
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 30)


def _head(path: str, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: gateway", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, "", ""]).encode()


@pytest.mark.parametrize("path", ["/v1/translate", "/translate"])
async def test_a_client_that_hangs_up_takes_its_work_along(served: Serve, path: str) -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    body = BODY if path == "/v1/translate" else BODY.replace(b'"text"', b'"q"')
    async with served(gateway) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_head(path, f"Content-Length: {len(body)}") + body)
        await until(lambda: gateway.backend.num_active == 1)
        writer.close()
        await until(lambda: gateway.backend.num_cancelled == 1)
        labels = {"route": path, "status": "499", "source": "en", "target": "de"}
        await until(lambda: gateway.count("polyhead_http_requests_total", **labels) == 1)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
            answer = await client.post(
                path, content=body, headers={"content-type": "application/json"}
            )
    assert answer.status_code == 200


async def test_a_chunked_body_without_end_is_cut_off(served: Serve) -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024})
    async with served(gateway) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_head("/v1/translate", "Transfer-Encoding: chunked"))
        writer.write((b"200\r\n" + b" " * 512 + b"\r\n") * 3)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"type":"body_too_large"' in answer


async def test_who_asks_for_a_websocket_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WS_PROTOCOLS, "auto", WS_PROTOCOLS["auto"])
    ignore_upgrades()
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        f"Content-Length: {len(BODY)}",
    )
    async with _served(Gateway()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_head("/v1/translate", *upgrade) + BODY)
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 30)
        writer.close()
        await writer.wait_closed()
    # The parser takes the body for the other protocol.
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"the body must be a JSON object, but is empty" in answer


async def test_requests_follow_each_other_on_one_connection(served: Serve) -> None:
    gateway = Gateway()
    async with (
        served(gateway) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            limits=httpx.Limits(max_connections=1),
            verify=False,
        ) as client,
    ):
        for content, status in ((BODY, 200), (b"{", 400), (BODY, 200), (b"", 400), (BODY, 200)):
            headers = {"content-type": "application/json", "X-Request-Id": "r-1"}
            answer = await client.post("/v1/translate", content=content, headers=headers)
            assert answer.status_code == status
            assert answer.headers.get_list("X-Request-Id") == ["r-1"]


async def test_a_number_of_clients_at_a_time(served: Serve) -> None:
    gateway = Gateway()
    async with (
        served(gateway) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as client,
    ):
        answers = await asyncio.gather(
            *(
                client.post(
                    "/v1/translate", json={"text": f"text {index}", "source": "en", "target": "de"}
                )
                for index in range(50)
            )
        )
    texts = [answer.json()["translations"][0]["text"] for answer in answers]
    assert texts == [f"de:text {index}" for index in range(50)]
    assert len(gateway.backend.calls) == 50
