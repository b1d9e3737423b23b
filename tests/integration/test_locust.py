"""The load test itself, as people start it: against the real service, and against a broken one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service_process import ServiceProcess

ROOT = Path(__file__).parents[2]
KINDS = {
    "/v1/translate (sentence)",
    "/v1/translate (document)",
    "/v1/translate (list)",
    "/translate (text)",
    "/translate (list)",
}

# Of locust's last table and error report: kind and number of requests; the fault.
_REQUESTS = re.compile(r"^POST +(\S+ \(\w+\)) +(\d+) +\d+\(", re.MULTILINE)
_FAULT = re.compile(r"^\d+ +POST \S+ \(\w+\): (.*?) *$", re.MULTILINE)

Answer = Callable[[str, dict[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run of locust left behind."""

    exit_status: int
    stderr: str
    requests: dict[str, int]
    """By kind of request."""
    faults: set[str]


def _locust(url: str, *options: str, users: int, seconds: int) -> Run:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
            *("--users", str(users), "--spawn-rate", str(max(users, 1))),
            *("--run-time", f"{seconds}s", "--stop-timeout", "30", "--host", url),
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 90,
        check=False,
    )
    return Run(
        exit_status=ran.returncode,
        stderr=ran.stderr,
        requests={kind: int(count) for kind, count in _REQUESTS.findall(ran.stderr)},
        faults=set(_FAULT.findall(ran.stderr)),
    )


def _right(path: str, body: dict[str, Any]) -> object:
    if path == "/translate":
        return {"translatedText": body["q"]}
    texts = body.get("texts") or [body["text"]]
    translations = [{"text": text, "finish_reason": "stop"} for text in texts]
    return {"translations": translations, "model": "echo"}


def _short(path: str, body: dict[str, Any]) -> object:
    return {"translations": [], "model": "echo"} if path == "/v1/translate" else _right(path, body)


def _nothing(path: str, body: dict[str, Any]) -> object:
    return "not an object"


@contextmanager
def _service(answer: Answer, *, echo_id: bool = True, status: int = 200) -> Iterator[str]:
    """A server on loopback that answers in the service's form, right or wrong."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(answer(self.path, body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if echo_id:
                self.send_header("X-Request-Id", self.headers["X-Request-Id"])
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_twenty_seconds_without_a_failure(whole_service: ServiceProcess) -> None:
    run = _locust(whole_service.url, users=4, seconds=20)
    assert (run.exit_status, run.faults) == (0, set()), run.stderr
    assert set(run.requests) == KINDS


def test_right_answers_pass() -> None:
    with _service(_right) as url:
        run = _locust(url, "--think-seconds", "0.02", users=4, seconds=2)
    assert (run.exit_status, run.faults) == (0, set()), run.stderr
    assert set(run.requests) == KINDS


@pytest.mark.parametrize(
    ("answer", "server", "fault"),
    [
        (_short, {}, "`translations` must be a list with one entry for each text"),
        (_nothing, {}, "the answer must be a JSON object"),
        (_right, {"echo_id": False}, "`X-Request-Id` must be echoed"),
        (_right, {"status": 503}, "the status must be 200, but is 503"),
    ],
)
def test_a_wrong_answer_is_a_failure(answer: Answer, server: dict[str, Any], fault: str) -> None:
    with _service(answer, **server) as url:
        run = _locust(url, "--think-seconds", "0.1", users=2, seconds=1)
    assert (run.exit_status, run.faults) == (1, {fault}), run.stderr


def test_nobody_there_is_a_failure() -> None:
    with _service(_right) as url:
        pass
    run = _locust(url, "--think-seconds", "0.1", users=1, seconds=1)
    assert (run.exit_status, run.faults) == (1, {"no answer: ConnectionRefusedError"}), run.stderr


def test_no_request_at_all_is_a_failure() -> None:
    with _service(_right) as url:
        run = _locust(url, users=0, seconds=1)
    assert (run.exit_status, run.requests) == (1, {}), run.stderr


def test_texts_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    run = _locust("http://127.0.0.1:1", "--texts", str(missing), users=1, seconds=1)
    assert run.exit_status != 0
    assert (
        run.stderr.splitlines()[-1] == f"locust: cannot read {missing}: No such file or directory"
    )
