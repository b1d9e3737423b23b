"""Containers' health checks ask the service itself, whatever proxy their environment names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def _of_image() -> list[str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    [check] = [line for line in text.splitlines() if line.startswith("HEALTHCHECK ")]
    command: list[str] = json.loads(check.partition(" CMD ")[2])
    return command


def _of_compose() -> list[str]:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
    kind, *command = compose["services"]["polyhead"]["healthcheck"]["test"]
    assert kind == "CMD"
    return list(command)


@contextmanager
def _answering(status: int) -> Iterator[int]:
    """The port of a server that answers with a status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("command", [_of_image(), _of_compose()], ids=["image", "compose"])
def test_a_proxy_is_not_asked(command: list[str]) -> None:
    program, *arguments = command
    assert program == "python"
    assert any("8000" in each for each in arguments)
    # Nobody answers at that port: who asks a proxy fails.
    environment = os.environ | dict.fromkeys(_PROXIES, "http://127.0.0.1:1")
    environment.pop("no_proxy", None)
    for status, healthy in ((200, True), (503, False)):
        with _answering(status) as port:
            ran = subprocess.run(
                [sys.executable, *(each.replace("8000", str(port)) for each in arguments)],
                env=environment, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
        assert (ran.returncode == 0) is healthy, ran.stderr
