"""HAProxy in front of a gateway: clients that are slow, silent or malformed take nobody's place."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service.gateway.request_context import is_safe_id
from service.launcher.haproxy import HAProxyOptions
from service.launcher.ports import free_port
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.haproxy_process import running_haproxy, written_by_serve

MAX_BODY = 2**20
HEAD = b"Host: a\r\nContent-Type: application/json\r\n"
TEXT_ANSWERS = {"/bad": 400, "/unknown": 404, "/late": 408, "/lost": 500, "/full": 503}


AT_WORK: list[int] = []
"""As long as the requests that the gateway does not answer."""


async def _gateway(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Tells what it got; answers of any size, in text, and none at all are to be had."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if (b"x-held", b"yes") in scope["headers"]:  # until its client leaves
        AT_WORK.append(0)
        await receive()
        AT_WORK.pop()
        return
    path = scope["path"]
    headers = [name.decode("latin-1") for name, _ in scope["headers"]]
    named = dict(scope["headers"])
    address = named.get(b"x-polyhead-address", b"").decode()
    answer = json.dumps({"bytes": len(body), "headers": headers, "address": address}).encode()
    if path.startswith("/bytes/"):
        answer = b"x" * int(path.removeprefix("/bytes/"))
    kind = b"text/plain; charset=utf-8" if path in TEXT_ANSWERS else b"application/json"
    status = TEXT_ANSWERS.get(path, 200)
    size = str(len(answer)).encode()
    start_headers = [(b"content-type", kind), (b"content-length", size)]
    await send({"type": "http.response.start", "status": status, "headers": start_headers})
    await send({"type": "http.response.body", "body": answer})


@dataclass(frozen=True)
class Front:
    """A running HAProxy."""

    port: int

    def connect(self, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        """A connection from an address of this machine that has sent so much."""
        client = socket.socket()
        # Else the kernel would take a whole answer for who does not read.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        client.settimeout(60)
        try:
            client.bind((address, 0))
            client.connect(("127.0.0.1", self.port))
            client.sendall(sent)
        except OSError:
            client.close()
            raise
        return client

    def answer(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; the status is 0 where there is none."""
        with self.connect(sent) as client:
            received = _read_all(client)
        if not received:
            return 0, {}, b""
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    def translate(self, **options: Any) -> httpx.Response:
        """What a well-behaved client gets."""
        url = f"http://127.0.0.1:{self.port}/v1/translate"
        return httpx.post(url, json={}, timeout=60, trust_env=False, verify=False, **options)


def _read_all(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := client.recv(2**20):
            received += more
    return received


@contextlib.contextmanager
def _front(folder: Path, **options: Any) -> Iterator[Front]:
    config = uvicorn.Config(
        _gateway, port=0, log_config=None, lifespan="off", access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            port = free_port()
            written = written_by_serve(folder, port=port, gateway_port=listening.getsockname()[1])
            options = {"max_in_flight": 1, **options}
            chosen = HAProxyOptions(
                host="127.0.0.1", admin_host="", max_body_bytes=MAX_BODY, **options
            )
            with running_haproxy(written, port, chosen):
                front = Front(port)
                wait_for(lambda: front.translate().status_code == 200)
                yield front
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A HAProxy with the default times, and one place for requests."""
    with _front(tmp_path_factory.mktemp("patient"), max_large_bodies=6) as front:
        yield front


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A HAProxy with short times, and one place for requests."""
    times = {f"{name}_seconds": 0.4 for name in ("head", "body", "idle", "stall")}
    with _front(tmp_path_factory.mktemp("impatient"), **times) as front:
        yield front


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_asks_for_an_upgrade_gets_an_ordinary_answer(patient: Front, method: str) -> None:
    status, _, body = patient.answer(
        method.encode() + b" /v1/translate HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n"
        b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{}"
    )
    assert status == 200
    answer = json.loads(body)
    assert answer["bytes"] == 2
    assert not {"upgrade", "http2-settings"} & set(answer["headers"])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("asked", ["websocket", "h2c, WebSocket"])
def test_who_asks_for_a_websocket_costs_no_gateway_anything(
    patient: Front, method: str, asked: str
) -> None:
    with patient.connect(_held("/v1/models")):  # which has the only place
        wait_for(lambda: AT_WORK)
        status, _, body = patient.answer(
            f"{method} /v1/translate HTTP/1.1\r\n".encode() + HEAD + b"Content-Length: 2\r\n"
            b"Connection: close, Upgrade\r\nUpgrade: " + asked.encode() + b"\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n{}"
        )
    assert (status, json.loads(body)["error"]["type"]) == (400, "no_websocket")


def test_a_gateway_hears_the_address_from_haproxy_alone(patient: Front) -> None:
    for claimed in (b"", b"X-Polyhead-Address: 192.0.2.1\r\nx-polyhead-address: 192.0.2.2\r\n"):
        status, _, body = patient.answer(
            b"POST /v1/translate HTTP/1.1\r\n" + HEAD + claimed
            + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
        )  # fmt: skip
        answer = json.loads(body)
        assert (status, answer["address"]) == (200, "127.0.0.1")
        assert answer["headers"].count("x-polyhead-address") == 1


@pytest.mark.parametrize("size", [60_000, MAX_BODY])
def test_bodies_that_stop_take_no_place(patient: Front, size: int) -> None:
    unfinished = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (HEAD, size)
    with contextlib.ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(patient.connect(unfinished + b" " * (size - 1)))
        assert patient.translate().status_code == 200


@pytest.mark.parametrize("size", [100_000, MAX_BODY])
def test_answers_that_nobody_reads_take_no_place(patient: Front, size: int) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(5):
            client = patient.connect(b"GET /bytes/%d HTTP/1.1\r\n%s\r\n" % (size, HEAD))
            clients.enter_context(client)
            client.recv(1, socket.MSG_PEEK)
        assert patient.translate().status_code == 200


def test_the_largest_request_reaches_a_gateway_as_a_whole(patient: Front) -> None:
    head = b"POST /v1/translate?%s HTTP/1.1\r\n%sConnection: close\r\nX-A: %s\r\n" % (
        b"q" * 16_000, HEAD, b"a" * 32_000,
    )  # fmt: skip
    whole = head + b"Content-Length: %d\r\n\r\n" % MAX_BODY
    with patient.connect(whole + b" " * (MAX_BODY - 1)) as slow:
        assert patient.translate().status_code == 200
        slow.sendall(b" ")
        assert b'"bytes": %d' % MAX_BODY in _read_all(slow)
    chunk = b"1\r\n \r\n"
    many = head + b"Transfer-Encoding: chunked\r\n\r\n" + 50_000 * chunk
    with patient.connect(many) as slow:
        assert patient.translate().status_code == 200
        slow.sendall(50_000 * chunk + b"0\r\n\r\n")
        assert b'"bytes": 100000' in _read_all(slow)


def test_few_may_fill_a_buffer_at_a_time(patient: Front) -> None:
    unfinished = b"POST /v1/translate HTTP/1.1\r\n%sContent-Length: 70000\r\n\r\n" % HEAD
    with contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(patient.connect(unfinished)) for _ in range(8)]
        refused: set[socket.socket] = set()
        while len(refused) < 2:
            answered, _, _ = select.select(waiting, [], [], 60)
            assert answered
            refused.update(answered)
        assert len(refused) == 2
        for client in refused:
            head = client.recv(2**16)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in head
        assert patient.translate().status_code == 200


@pytest.mark.parametrize("path", ["/v1/translate", "/translate"])
@pytest.mark.parametrize("trickles", [False, True])
def test_a_body_that_takes_too_long_is_answered(
    impatient: Front, path: str, trickles: bool
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow-1\r\nContent-Length: 90000\r\n"
    with impatient.connect(head.encode() + b"\r\n") as client:
        client.settimeout(0.05)
        for _ in range(1000):
            with contextlib.suppress(TimeoutError):
                client.recv(1, socket.MSG_PEEK)
                break
            if trickles:
                client.sendall(b" ")
        client.settimeout(60)
        answer = _read_all(client)
    head_, _, body = answer.partition(b"\r\n\r\n")
    assert head_.startswith(b"HTTP/1.1 408 ")
    assert b"x-request-id: slow-1" in head_
    message = "the body must arrive within 0.4 s, without a pause of 0.4 s, but did not"
    native = {"error": {"type": "body_timeout", "message": message}, "request_id": "slow-1"}
    assert json.loads(body) == (native if path == "/v1/translate" else {"error": message})


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/mod", b"GET / HTTP/1.1\r\nX-A: b\r\n", b"\r\n\r\n"]
)
def test_who_sends_no_head_is_dropped(impatient: Front, sent: bytes) -> None:
    assert impatient.answer(sent) == (0, {}, b"")


def test_who_trickles_a_head_is_dropped(impatient: Front) -> None:
    with impatient.connect(b"GET / HTTP/1.1\r\n") as client:
        client.settimeout(0.05)
        for _ in range(1000):
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                break
            with contextlib.suppress(ConnectionError):
                client.sendall(b"X")
        else:
            pytest.fail("it was not dropped")


def test_who_says_nothing_more_is_dropped(impatient: Front) -> None:
    status, _, _ = impatient.answer(b"GET /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert status == 200


def test_who_does_not_read_is_dropped(impatient: Front) -> None:
    size = 2**20
    with impatient.connect(b"GET /bytes/%d HTTP/1.1\r\n%s\r\n" % (size, HEAD)) as client:
        wait_for(lambda: not _is_established(client))
        assert len(_read_all(client)) < size


def _is_established(client: socket.socket) -> bool:
    """Whether the other side of a connection has not closed its end yet."""
    try:
        port, server = client.getsockname()[1], client.getpeername()[1]
    except OSError:  # reset
        return False
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        ports = [int(end.rpartition(":")[2], 16) for end in (local, remote)]
        if ports == [server, port]:
            return state == "01"
    return False


def test_connections_end_with_their_answer_when_there_are_many(tmp_path: Path) -> None:
    with (
        _front(
            # None of those that are silent may end while a busy machine is at other work.
            tmp_path, max_connections=40, max_connections_per_address=36, head_seconds=600.0
        ) as front,
        contextlib.ExitStack() as clients,
    ):  # fmt: skip
        assert "connection" not in front.translate(headers={"Connection": "keep-alive"}).headers
        held = [clients.enter_context(front.connect()) for _ in range(32)]
        answer = front.translate(headers={"Connection": "keep-alive"})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

        def is_one_too_many() -> bool:
            """Whether one more is closed. That of the answer may count for a while yet."""
            try:
                held.append(clients.enter_context(front.connect()))
                held[-1].settimeout(0.1)
                assert held[-1].recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:  # already as it connects, perhaps
                pass
            return True

        # As many as one address may have stay, and none of those that are too many.
        wait_for(lambda: is_one_too_many() and sum(map(_is_established, held)) == 36)


REFUSED = {
    "trace": (b"TRACE /v1/translate HTTP/1.1\r\nHost: a\r\n", 405, "method_not_allowed"),
    "connect": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n", 405, "method_not_allowed"),
    "options": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n", 404, "not_found"),
    "version 2": (b"GET / HTTP/2.0\r\nHost: a\r\n", 505, "version_not_supported"),
    "version 0": (b"GET / HTTP/0.9\r\nHost: a\r\n", 505, "version_not_supported"),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n", 505, "version_not_supported"),
    "routes": (b"GET /-/routes HTTP/1.1\r\nHost: a\r\n", 404, "not_found"),
    "encoded routes": (b"GET /%2D%2Fr%6futes HTTP/1.1\r\nHost: a\r\n", 404, "not_found"),
    "url": (b"GET /%s HTTP/1.1\r\nHost: a\r\n" % (b"a" * 17_000), 414, "url_too_long"),
    "headers": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %s\r\n" % (b"a" * 33_000),
        431,
        "headers_too_large",
    ),
    "many headers": (
        b"GET / HTTP/1.1\r\nHost: a\r\n%s" % (b"X-A: b\r\n" * 200),
        431,
        "headers_too_large",
    ),
    "body": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n",
        413,
        "body_too_large",
    ),
    "endless body": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n",
        413,
        "body_too_large",
    ),
    "bad": (b"GET /bad HTTP/1.1\r\nHost: a\r\n", 400, "malformed_request"),
    "unknown": (b"GET /unknown HTTP/1.1\r\nHost: a\r\n", 503, "unavailable"),
    "late": (b"GET /late HTTP/1.1\r\nHost: a\r\n", 503, "unavailable"),
    "lost": (b"GET /lost HTTP/1.1\r\nHost: a\r\n", 503, "unavailable"),
    "full": (b"GET /full HTTP/1.1\r\nHost: a\r\n", 503, "unavailable"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_in_json(patient: Front, case: str) -> None:
    head, status, kind = REFUSED[case]
    was, headers, body = patient.answer(head + b"Connection: close\r\n\r\n")
    assert (was, headers["content-type"]) == (status, "application/json; charset=utf-8")
    answer = json.loads(body)
    assert answer["error"]["type"] == kind
    assert answer["request_id"] == headers["x-request-id"]
    assert is_safe_id(answer["request_id"])


@pytest.mark.parametrize("path", ["/translate", "/languages", "/%74ranslate"])
def test_it_is_refused_in_the_form_of_the_api(patient: Front, path: str) -> None:
    head = f"TRACE {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-7\r\nConnection: close\r\n\r\n"
    status, headers, body = patient.answer(head.encode())
    assert (status, headers["x-request-id"]) == (405, "id-7")
    assert json.loads(body) == {"error": "the method must be another one at this path"}


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"GET /health\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["h2", "0.9", "tls", "hosts", "length", "coding", "chunk", "path"],
)
def test_what_is_not_http_1_gets_no_answer(patient: Front, sent: bytes) -> None:
    assert patient.answer(sent) == (0, {}, b"")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A HAProxy with twelve places, of which each address may always have three."""
    with _front(tmp_path_factory.mktemp("shared"), max_in_flight=12) as front:
        yield front


def _held(path: str, *headers: bytes) -> bytes:
    """A request that is answered when its client has left, which is never."""
    lines = b"".join(header + b"\r\n" for header in (b"X-Held: yes", *headers))
    return b"GET " + path.encode() + b" HTTP/1.1\r\n" + HEAD + lines + b"\r\n"


def _refused(clients: list[socket.socket], number: int) -> list[socket.socket]:
    """Those of them that have been answered, once so many have; each answer must be a refusal."""
    answered: list[socket.socket] = []
    while len(answered) < number:
        waiting = [client for client in clients if client not in answered]
        ready, _, _ = select.select(waiting, [], [], 60)
        assert ready
        answered += ready
    for client in answered:
        head = client.recv(2**16)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in head
    return answered


def _flood(
    front: Front, clients: contextlib.ExitStack, path: str, number: int
) -> list[socket.socket]:
    """So many clients of one address, of which the first twelve are in flight."""
    flood: list[socket.socket] = []
    wait_for(lambda: not AT_WORK)
    for count in (12, number - 12):
        for _ in range(count):
            flood.append(clients.enter_context(front.connect(_held(path), "127.0.0.2")))
        wait_for(lambda: len(AT_WORK) == 12)
    return flood


def test_who_has_more_than_its_share_is_refused_and_waits_behind_others(shared: Front) -> None:
    with contextlib.ExitStack() as clients:
        flood = _flood(shared, clients, "/v1/translate", 24)
        # Twelve are in flight, and half as many wait.
        assert len(_refused(flood[12:], 6)) == 6
        sent = _held("/v1/translate").replace(b"X-Held: yes\r\n", b"Connection: close\r\n")
        other = clients.enter_context(shared.connect(sent))
        assert select.select([other], [], [], 0.5)[0] == []  # it waits, and is not refused
        flood[0].close()
        # It has the next place, before those who were there first.
        assert _read_all(other).startswith(b"HTTP/1.1 200 ")


def test_many_probes_of_one_address_take_nobodys_place(shared: Front) -> None:
    with contextlib.ExitStack() as clients:
        flood = _flood(shared, clients, "/health", 20)
        assert len(_refused(flood[12:], 4)) == 4
        sent = b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
        other = clients.enter_context(shared.connect(sent))
        for client in flood:
            client.close()
        assert _read_all(other).startswith(b"HTTP/1.1 200 ")


def test_batch_requests_beyond_their_share_are_refused_late_and_count_nowhere(
    shared: Front,
) -> None:
    batch = b"X-Request-Priority: batch"
    with contextlib.ExitStack() as clients:
        held = [
            clients.enter_context(shared.connect(_held("/v1/translate", batch))) for _ in range(6)
        ]
        wait_for(lambda: len(AT_WORK) == 6)
        began = time.monotonic()
        late = clients.enter_context(shared.connect(_held("/v1/translate", batch)))
        assert shared.translate().status_code == 200
        held[0].close()
        # The refused one has no answer yet, but the place is not its own.
        wait_for(lambda: shared.translate(headers={"X-Request-Priority": "batch"}).is_success)
        _refused([late], 1)
        assert time.monotonic() - began > 0.9
