"""A service in a thread: translates at once, and is as ill as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeService:
    """What its answers are, and how many there were."""

    def __init__(self) -> None:
        self.url = ""
        self.num_translated = 0
        self.status = 200
        self.prefix = "de:"
        """Seconds that each translation takes."""
        self.raw: bytes | None = None
        """Instead of a translation."""
        self.metrics = ""

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and content."""
        if path == "/metrics":
            return 200, self.metrics.encode()
        if path == "/ready":
            return self.status, b"{}"
        self.num_translated += 1
        content = self._translated(path, json.loads(body))
        return self.status, json.dumps(content).encode() if self.raw is None else self.raw

    def _translated(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path == "/translate":
            query = request["q"]
            if isinstance(query, str):
                return {"translatedText": self.prefix + query}
            return {"translatedText": [self.prefix + text for text in query]}
        texts = request.get("texts") or [request["text"]]
        translations = [{"text": self.prefix + text, "finish_reason": "stop"} for text in texts]
        return {"model": "fake", "translations": translations}


@contextmanager
def served() -> Iterator[FakeService]:
    """It answers on a free port of loopback, which `url` names."""
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 2**16  # head and body together: apart, the kernel makes the second one wait

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, body: bytes) -> None:
            status, content = service.answer(self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
