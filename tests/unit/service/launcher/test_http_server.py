"""The server of a single process: clients that are slow, silent or malformed hold nobody up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.gateway.front import FrontMiddleware
from service.launcher.http_server import HttpServer
from tests.fakes import FakeBackend, Gateway
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.bounded_server import limits, serving

BODY = json.dumps({"text": "Hello", "source": "en", "target": "de"}).encode()
HEAD = b"Host: a\r\nContent-Type: application/json\r\n"
WHOLE = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (HEAD, len(BODY), BODY)
LAST = WHOLE.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n")
TIMES = {f"{name}_seconds": 0.4 for name in ("head", "idle", "stall")}


def _gateway(**settings: Any) -> Gateway:
    """One place for requests, and short times for bodies."""
    most = {"max_in_flight": 1, "body_timeout_seconds": 2.0} | settings.pop("limits", {})
    connections = {"stall_seconds": 0.4} | settings.pop("connections", {})
    return Gateway(FakeBackend(), limits=most, connections=connections, **settings)


@contextlib.contextmanager
def _served(gateway: Gateway, **given: Any) -> Iterator[int]:
    settings = gateway.settings
    front = FrontMiddleware(gateway.app, settings.limits, settings.connections)
    with serving(front, limits(**given)) as port:
        yield port


def _connect(port: int, sent: bytes = b"") -> socket.socket:
    client = socket.socket()
    # Else the kernel would take a whole answer for who does not read.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


def _rest(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := client.recv(2**20):
            received += more
    return received


def _answer(port: int, sent: bytes) -> bytes:
    with _connect(port, sent) as client:
        return _rest(client)


def _is_served(port: int) -> bool:
    return _answer(port, LAST).startswith(b"HTTP/1.1 200 ")


@pytest.fixture(scope="module")
def impatient() -> Iterator[int]:
    """A server with short times."""
    with _served(_gateway(), **TIMES) as port:
        yield port


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/mod", b"GET / HTTP/1.1\r\nX-A: b\r\n", b"\r\n\r\n"]
)
def test_who_sends_no_head_is_dropped(impatient: int, sent: bytes) -> None:
    assert _answer(impatient, sent) == b""


@pytest.mark.parametrize("piece", [b"X", b"\r\n"])
@pytest.mark.parametrize("first", [b"", WHOLE, WHOLE + b"GET / HTTP/1.1\r\n"])
def test_who_trickles_a_head_is_dropped(impatient: int, first: bytes, piece: bytes) -> None:
    if first.endswith(b"1.1\r\n") and piece == b"\r\n":
        piece = b"X: y\r\n"
    if not first and piece == b"X":
        first = b"GET / HTTP/1.1\r\n"
    with _connect(impatient, first) as client:
        client.settimeout(0.05)
        for _ in range(1000):
            with contextlib.suppress(TimeoutError, ConnectionError):
                if not client.recv(2**16):
                    break
            try:
                client.sendall(piece)
            except ConnectionError:
                break
        else:
            pytest.fail("it was not dropped")


def test_who_says_nothing_more_is_dropped(impatient: int) -> None:
    assert _answer(impatient, WHOLE).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", [b"/v1/translate", b"/translate"])
@pytest.mark.parametrize("trickles", [False, True])
def test_a_body_that_takes_too_long_is_answered(
    impatient: int, path: bytes, trickles: bool
) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow-1\r\n" % path
    with _connect(impatient, head + b"Content-Length: 90000\r\n\r\n") as client:
        client.settimeout(0.05)
        for _ in range(1000):
            with contextlib.suppress(TimeoutError):
                client.recv(1, socket.MSG_PEEK)
                break
            if trickles:
                client.sendall(b" ")
        client.settimeout(60)
        answer = _rest(client)
    head_, _, body = answer.partition(b"\r\n\r\n")
    assert head_.startswith(b"HTTP/1.1 408 ")
    assert b"x-request-id: slow-1" in head_
    message = "the body must arrive within 2 s, without a pause of 0.4 s, but did not"
    native = {"error": {"type": "body_timeout", "message": message}, "request_id": "slow-1"}
    assert json.loads(body) == (native if path == b"/v1/translate" else {"error": message})


def test_bodies_that_stop_take_no_place() -> None:
    gateway = _gateway(limits={"body_timeout_seconds": 60.0}, connections={"stall_seconds": 60.0})
    unfinished = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n"
    with _served(gateway) as port, contextlib.ExitStack() as clients:
        for size in (60_000, 2**20) * 3:
            begun = unfinished % (HEAD, size) + b" " * (size - 1)
            clients.enter_context(_connect(port, begun))
        assert _is_served(port)


@pytest.mark.parametrize("stall_seconds", [60.0, 0.4])
def test_answers_that_nobody_reads_take_no_place_and_end(stall_seconds: float) -> None:
    gateway = _gateway()
    long = b'{"text": "%s", "source": "en", "target": "de"}' % (b"a" * 20_000)
    many = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (
        HEAD,
        len(long),
        long,
    )
    with _served(gateway, stall_seconds=stall_seconds) as port, contextlib.ExitStack() as clients:
        # Answers of more than the kernel takes; then this client waits, and nobody else does.
        silent = [clients.enter_context(_connect(port)) for _ in range(3)]
        for client in silent:
            client.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(500):
                    client.sendall(many)
        wait_for(lambda: _is_served(port), 30)
        for client in silent if stall_seconds < 1 else ():
            client.settimeout(60)
            wait_for(lambda client=client: _is_dropped(client))  # type: ignore[misc]


def _is_dropped(client: socket.socket) -> bool:
    """Whether the other side has ended the connection, seen by who does not read."""
    try:
        client.send(b"X", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


def test_few_may_fill_a_buffer_at_a_time() -> None:
    gateway = _gateway(
        limits={"body_timeout_seconds": 60.0},
        connections={"stall_seconds": 60.0, "max_large_bodies": 2},
    )
    unfinished = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: 70000\r\n\r\n" % HEAD
    chunked = b"POST /v1/translate HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n" % HEAD
    with _served(gateway) as port, contextlib.ExitStack() as clients:
        for sent in (unfinished, chunked):
            clients.enter_context(_connect(port, sent))
        with _connect(port, unfinished) as refused:
            head = refused.recv(2**16)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in head
        assert _is_served(port)


def test_one_address_does_not_take_all_places() -> None:
    gateway = _gateway(limits={"max_in_flight": 4}, connections={"max_in_flight_per_address": 1})
    held = [gateway.backend.hold_next() for _ in range(3)]
    with _served(gateway) as port, contextlib.ExitStack() as clients:
        for number in range(3):  # a second one while there is room
            clients.enter_context(_connect(port, WHOLE))
            wait_for(lambda number=number: gateway.backend.num_active == number + 1)  # type: ignore[misc]
        began = time.monotonic()
        answer = _answer(port, LAST)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"one address may have 1 requests while there are many" in answer
        assert time.monotonic() - began > 0.9
        for event in held:
            event.set()


def test_connections_are_counted_in_all_and_for_each_address() -> None:
    with (
        _served(_gateway(), most=40, most_per_address=36) as port,
        contextlib.ExitStack() as clients,
    ):
        held = [clients.enter_context(_connect(port)) for _ in range(29)]
        with _connect(port, WHOLE) as one:
            assert b"connection: close" not in one.recv(2**16)
        held += [clients.enter_context(_connect(port)) for _ in range(3)]
        assert b"connection: close" in _answer(port, WHOLE)
        held += [clients.enter_context(_connect(port)) for _ in range(4)]
        assert _answer(port, b"") == b""
        held[0].close()
        wait_for(lambda: _is_served(port))


@pytest.mark.parametrize(
    ("head", "status", "kind"),
    [
        (b"GET / HTTP/2.0\r\nHost: a\r\n", 505, "version_not_supported"),
        (b"GET /health\r\n", 505, "version_not_supported"),
        (b"GET /%s HTTP/1.1\r\nHost: a\r\n" % (b"a" * 17_000), 414, "url_too_long"),
        (b"GET / HTTP/1.1\r\nX-A: %s\r\n" % (b"a" * 33_000), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n%s" % (b"X-A: b\r\n" * 200), 431, "headers_too_large"),
        (
            b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c, WebSocket\r\n",
            400,
            "no_websocket",
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n", 413, "body_too_large"),
        (b"TRACE /v1/translate HTTP/1.1\r\nHost: a\r\n", 405, "method_not_allowed"),
    ],
)
def test_what_is_refused_is_refused_in_json_and_counted(
    impatient: int, head: bytes, status: int, kind: str
) -> None:
    answer = _answer(impatient, head + b"\r\n")
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["type"] == kind


def test_who_asks_for_another_upgrade_gets_an_ordinary_answer(impatient: int) -> None:
    sent = LAST.replace(
        b"Connection: close\r\n",
        b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    )
    answer = _answer(impatient, sent)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"de:Hello"' in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    ],
    ids=["h2", "tls", "length", "chunk", "path", "connect"],
)
def test_what_is_not_http_1_is_told_so_and_not_logged(
    impatient: int, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head, _, body = _answer(impatient, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["type"] == "malformed_request"
    # A request of the test before may be logged as late as now: answered, or its client gone.
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    assert [each for each in fields if each.get("status") not in (200, 499)] == []


def test_a_head_without_end_is_dropped_before_it_takes_memory() -> None:
    with _served(_gateway()) as port, _connect(port, b"GET / HTTP/1.1\r\nX-A: ") as client:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 2**24:
                sent += client.send(b"a" * 2**16)
        assert sent < 2**24


def test_trailers_without_end_are_dropped_too() -> None:
    head = b"POST /v1/translate HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n0\r\n" % HEAD
    with _served(_gateway(), max_body_bytes=2**16) as port, _connect(port, head) as client:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 2**25:
                sent += client.send(b"X-A: %s\r\n" % (b"b" * 1000))
        assert sent < 2**25


def test_a_body_in_chunks_of_one_byte_is_taken() -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY + b" " * 60_000)
    head = LAST.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    with _served(_gateway()) as port:
        assert _answer(port, head + chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


async def test_it_leaves_the_log_of_uvicorn_empty_and_signals_alone() -> None:
    server = HttpServer(FrontMiddleware(_gateway().app, *_of_settings()), limits())
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.CRITICAL)
    with server.capture_signals():
        assert asyncio.get_running_loop().is_running()


def _of_settings() -> tuple[Any, Any]:
    settings = _gateway().settings
    return settings.limits, settings.connections
