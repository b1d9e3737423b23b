"""Clients take nothing but the right answer, and say what was wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.exchange import ANSWER_BYTES, PATH, REQUEST_BYTES, TEXTS
from loadtests.gateway_cost.load import generate_load


@contextmanager
def _server(status: int, body: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and the requests it has got."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            right_path = self.path == PATH
            self.send_response(status if right_path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # whoever is answered wrong does not wait for the rest
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], received
        finally:
            server.shutdown()
            thread.join()


def test_every_answer_is_counted() -> None:
    with _server(200, ANSWER_BYTES) as (port, received):
        load = generate_load(port, clients=3, seconds=0.05)
    assert len(load.latencies) == len(received) >= 3
    assert set(received) == {REQUEST_BYTES}
    assert all(latency > 0 for latency in load.latencies)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [(503, ANSWER_BYTES, "must be 200"), (200, ANSWER_BYTES[:-1] + b" ", "an answer must be b'{")],
)
def test_another_answer_is_refused(status: int, body: bytes, problem: str) -> None:
    with _server(status, body) as (port, _), pytest.raises(BenchError, match=problem):
        generate_load(port, clients=2, seconds=0.05)


def test_nobody_there() -> None:
    with _server(200, ANSWER_BYTES) as (port, _):
        pass
    with pytest.raises(BenchError, match="a connection failed"):
        generate_load(port, clients=1, seconds=0.05)


def test_a_request_has_several_texts_and_sentences() -> None:
    assert json.loads(REQUEST_BYTES)["texts"] == list(TEXTS)
    assert len(TEXTS) < sum(text.count(".") for text in TEXTS)
