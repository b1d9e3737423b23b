"""What Ray Serve's proxy says by itself, and how a client hears it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gateway.proxy_headers import middlewares
from tests.fakes import Connection

_PLAIN = [(b"content-type", b"text/plain")]
_JSON = [(b"content-type", b"application/json")]


class _Proxy:
    """Answers with what it was given, after it has made sure that the request has an id."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(scope=scope)
        if "x-request-id" not in headers:
            headers.append("x-request-id", "made-by-serve")
        for message in self._messages:
            await send(message)


def _answer(
    status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[Message, ...]:
    return (
        {"type": "http.response.start", "status": status, "headers": list(headers)},
        {"type": "http.response.body", "body": body[:3], "more_body": True},
        {"type": "http.response.body", "body": body[3:], "more_body": False},
    )


async def _asked(proxy: ASGIApp, path: str = "/v1/translate", **headers: str) -> Connection:
    app: Any = proxy
    for middleware in middlewares():
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    connection = Connection(path, headers=headers)
    await connection.start(app)
    return connection


@pytest.mark.parametrize(
    ("status", "heard", "kind", "retry"),
    [
        (404, 503, "unavailable", True),
        (408, 504, "deadline_exceeded", False),
        (429, 503, "overloaded", True),
        (503, 503, "overloaded", True),
    ],
)
async def test_plain_text_of_the_proxy_becomes_an_error_of_the_api(
    status: int, heard: int, kind: str, retry: bool
) -> None:
    connection = await _asked(_Proxy(*_answer(status, b"Path '/v1/translate' not found", _PLAIN)))
    assert connection.status == heard
    assert connection.json()["error"]["type"] == kind
    assert connection.headers["content-type"] == "application/json; charset=utf-8"
    assert ("retry-after" in connection.headers) == retry
    assert connection.json()["request_id"] == "made-by-serve"
    assert connection.headers["x-request-id"] == "made-by-serve"


async def test_the_clients_own_id_stays() -> None:
    connection = await _asked(_Proxy(*_answer(404, b"...", _PLAIN)), **{"x-request-id": "r-1"})
    assert connection.headers["x-request-id"] == connection.json()["request_id"] == "r-1"


async def test_libretranslate_has_its_own_form() -> None:
    connection = await _asked(_Proxy(*_answer(404, b"...", _PLAIN)), "/translate")
    assert connection.status == 503
    assert set(connection.json()) == {"error"}


async def test_a_gateway_that_died_without_a_word_is_unavailable() -> None:
    connection = await _asked(_Proxy())
    assert connection.status == 503
    assert connection.json()["error"]["type"] == "unavailable"
    assert "retry-after" in connection.headers


@pytest.mark.parametrize(
    ("status", "headers", "path"),
    [
        (404, _JSON, "/nothing"),
        (408, _JSON, "/v1/translate"),
        (503, [*_JSON, (b"retry-after", b"1")], "/v1/translate"),
        (200, _PLAIN, "/metrics"),
        (503, _PLAIN, "/-/healthz"),
        (500, [], "/v1/translate"),
    ],
)
async def test_answers_of_gateways_and_on_serves_own_health_pass_as_they_are(
    status: int, headers: list[tuple[bytes, bytes]], path: str
) -> None:
    messages = _answer(status, b'{"error": 1}', headers)
    connection = await _asked(_Proxy(*messages), path)
    assert tuple(connection.sent) == messages
