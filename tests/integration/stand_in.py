"""A server on loopback that answers in the service's form, right or wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], object]
"""From path and body to what is sent as JSON."""


def right(path: str, body: dict[str, Any]) -> object:
    """The texts themselves, as translations."""
    if path == "/translate":
        return {"translatedText": body["q"]}
    texts = body.get("texts") or [body["text"]]
    translations = [{"text": text, "finish_reason": "stop"} for text in texts]
    return {"translations": translations, "model": "echo"}


def short(path: str, body: dict[str, Any]) -> object:
    """No translations in the native form."""
    return {"translations": [], "model": "echo"} if path == "/v1/translate" else right(path, body)


def nothing(path: str, body: dict[str, Any]) -> object:
    """JSON, but nothing that any form knows."""
    return "not an object"


@contextmanager
def stand_in(
    answer: Answer,
    *,
    echo_id: bool = True,
    status: int = 200,
    retry_after: str | None = None,
    refuses: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """A server on loopback that answers in the service's form, right or wrong.

    `refuses` is asked at each request whether it is answered 503 instead.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(answer(self.path, body)).encode()
            self.send_response(503 if refuses() else status)
            self.send_header("Content-Length", str(len(content)))
            if echo_id:
                self.send_header("X-Request-Id", self.headers["X-Request-Id"])
            if retry_after is not None:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # as many as come at the same time

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
