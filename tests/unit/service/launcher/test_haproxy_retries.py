"""HAProxy before gateways that go away: requests go to another one, or are refused in our form."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from service.launcher.haproxy import HAProxyOptions
from service.launcher.ports import free_port
from tests.integration.service_process import wait_for
from tests.unit.service.launcher.haproxy_process import running_haproxy, written_by_serve

_HEALTH = b"GET /-/healthz "


class _Gateway:
    """Keeps its connections, as Serve's gateways do, until it is told to lose requests."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.to_lose = 0
        """Requests that get no answer: their connections end instead."""
        self.leaves = False
        """Whether nobody listens any more after the first of them."""
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Listens no more, and ends all connections."""
        self._leave()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _leave(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while first := stream.readline():
                _read_rest(stream)
                if not first.startswith(_HEALTH) and self.to_lose:
                    self.to_lose -= 1
                    if self.leaves:
                        self._leave()
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def _read_rest(stream: BinaryIO) -> None:
    length = 0
    while (line := stream.readline().lower().strip()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    stream.read(length)


@contextlib.contextmanager
def _gateway() -> Iterator[_Gateway]:
    found = _Gateway()
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def _front(folder: Path, gateway: _Gateway, fallback: _Gateway | None = None) -> Iterator[str]:
    """Where a HAProxy listens that has a connection to the gateway."""
    port = free_port()
    config = written_by_serve(
        folder,
        port=port,
        gateway_port=gateway.port,
        fallback_port=None if fallback is None else fallback.port,
    )
    with running_haproxy(config, port, HAProxyOptions(host="127.0.0.1", admin_host="")) as url:
        wait_for(lambda: _ask(url).status_code == 200)
        yield url


def _ask(url: str) -> httpx.Response:
    """A request over a connection of its own."""
    return httpx.post(
        f"{url}/v1/translate", json={"text": "a"}, timeout=60, trust_env=False, verify=False
    )


def test_a_request_that_was_lost_is_sent_again(tmp_path: Path) -> None:
    with _gateway() as gateway, _front(tmp_path, gateway) as url:
        gateway.to_lose = 2
        assert _ask(url).status_code == 200
        assert gateway.to_lose == 0


def test_a_request_whose_gateway_is_gone_goes_to_serves_proxy(tmp_path: Path) -> None:
    with _gateway() as gateway, _gateway() as proxy, _front(tmp_path, gateway, proxy) as url:
        gateway.to_lose, gateway.leaves = 1, True
        assert _ask(url).status_code == 200
        assert gateway.to_lose == 0


@pytest.mark.parametrize("leaves", [False, True])
def test_a_request_that_nobody_answers_is_refused(tmp_path: Path, leaves: bool) -> None:
    with _gateway() as gateway, _front(tmp_path, gateway) as url:
        gateway.to_lose, gateway.leaves = 100, leaves
        answer = _ask(url)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "unavailable"
    assert answer.headers["retry-after"] == "1"
