"""`polyhead models add`, `reload` and `remove --url` against a service that is played."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from service.cli import app, running_service
from service.cli.running_service import RunningService, ServiceError
from service.launcher.token_file import token_file


class _Service(ThreadingHTTPServer):
    """Answers each request with the next answer, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, str | None, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Service

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append(
            (
                self.command,
                self.path,
                self.headers.get("authorization"),
                json.loads(body) if body else None,
            )
        )
        status, value = self.server.answers.pop(0)
        content = json.dumps(value).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{value}{self.path}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (names of the library)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Service]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("POLYHEAD_ADMIN_TOKEN", raising=False)
    monkeypatch.setattr(running_service, "_LOOK_SECONDS", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy"):  # which nobody must ask
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = _Service()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["models", *arguments])


@contextmanager
def _own(service: _Service) -> Iterator[str]:
    with token_file(service.server_port, SecretStr("")) as token:
        yield f"Bearer {token.get_secret_value()}"


def test_the_user_who_serves_needs_no_more_than_the_command(
    service: _Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service.answers = [
        (202, {"id": "news", "change": "add"}),
        (200, {"id": "news", "state": "loading"}),
        (200, {"id": "news", "state": "ready"}),
    ]
    with _own(service) as token:
        ran = _run("add", "./m", "--id", "news", "--url", service.url)
    assert (ran.exit_code, ran.output) == (0, "news is served\n")
    assert service.requests[0] == (
        "POST", "/v1/models", token, {"model": str(tmp_path / "m"), "id": "news"},
    )  # fmt: skip
    assert len(service.requests) == 3


def test_a_model_is_loaded_anew_and_removed(service: _Service) -> None:
    service.answers = [
        (202, {"id": "a b", "change": "reload"}),
        (200, {"id": "a b", "state": "ready"}),
        (202, {"id": "a b", "change": "remove"}),
        (200, {"id": "a b", "state": "removing"}),
        (404, {"error": {"message": "gone"}}),
    ]
    with _own(service):
        assert _run("reload", "a b", "--url", service.url).output == "a b is loaded anew\n"
        ran = _run("remove", "a b", "--url", service.url)
    assert (ran.exit_code, ran.output) == (0, "a b is not served any more\n")
    assert [request[:2] for request in service.requests] == [
        ("POST", "/v1/models/a%20b/reload"),
        ("GET", "/v1/models/a%20b"),
        ("DELETE", "/v1/models/a%20b"),
        ("GET", "/v1/models/a%20b"),
        ("GET", "/v1/models/a%20b"),
    ]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(409, {"error": {"message": "there is one"}})], "there is one"),
        ([(500, "x")], "the service answered 500"),
        ([(302, "http://127.0.0.1:1")], "the service answered 302"),
        (
            [(202, {"id": "a"}), (200, {"state": "failed", "problem": "damaged"})],
            "damaged",
        ),
    ],
)
def test_what_goes_wrong_is_said(
    service: _Service, answers: list[tuple[int, Any]], words: str
) -> None:
    service.answers = answers
    with _own(service):
        error = _run("add", "a", "--url", service.url).exception
    assert isinstance(error, ServiceError)
    assert str(error) == words


def test_a_token_of_the_environment_opens_any_service(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _run("reload", "a", "--url", service.url).exception
    assert isinstance(error, ServiceError)
    assert "must be a service that this user has started here" in str(error)
    assert service.requests == []
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "theirs")
    service.answers = [(401, {"error": {"message": "wrong"}})]
    assert str(_run("reload", "a", "--url", service.url).exception) == "wrong"
    assert service.requests[0][2] == "Bearer theirs"


def test_no_service_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "theirs")
    error = str(_run("reload", "a", "--url", "http://127.0.0.1:1").exception)
    assert error.startswith("http://127.0.0.1:1 does not answer")
    error = str(_run("reload", "a", "--url", "ftp://x").exception)
    assert "`--url` must be as http://127.0.0.1:8000" in error


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ServiceError, match="`--url` must be as http"):
        RunningService(url)


def test_a_redirection_is_not_followed_with_the_token(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "theirs")
    service.answers = [(302, service.url), (200, {"state": "ready"})]
    with pytest.raises(ServiceError, match="answered 302"):
        RunningService(service.url).wait("a", 10)
    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", [[], {}, {"status": "fine"}])
def test_another_service_is_told_from_ours(service: _Service, answer: Any) -> None:
    service.answers = [(200, answer), (200, answer)]
    with _own(service):
        running = RunningService(service.url)
        with pytest.raises(ServiceError, match="must be a service of Polyhead"):
            running.add({"model": "a"})
        with pytest.raises(ServiceError, match="must be a service of Polyhead"):
            running.wait("a", 10)


def test_what_does_not_speak_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "theirs")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail\r\n")

        thread = Thread(target=greet)
        thread.start()
        with pytest.raises(ServiceError, match="does not answer: 220 mail"):
            RunningService(f"http://127.0.0.1:{server.getsockname()[1]}").reload("a")
        thread.join()


@pytest.mark.parametrize("token", ["secret\ntoken", "secret token€"])
def test_a_token_that_no_header_can_have_is_not_printed(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", token)
    with pytest.raises(ServiceError, match="must be printable") as raised:
        RunningService("http://127.0.0.1:1").reload("a")
    assert "secret" not in str(raised.value)


def test_settings_that_are_wrong_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "secret")
    monkeypatch.setenv("POLYHEAD_REPLICAS", "none")
    with pytest.raises(ServiceError, match="must be settings of the service"):
        RunningService("http://127.0.0.1:1")


def test_a_token_of_a_file_may_end_its_line(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYHEAD_ADMIN_TOKEN", "theirs\n")
    service.answers = [(202, {"id": "a"})]
    RunningService(service.url).reload("a")
    assert service.requests[0][2] == "Bearer theirs"
