"""What Ray Serve's proxy gets to see of a request's headers."""

from __future__ import annotations

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from service.gateway.proxy_headers import middlewares


async def _seen(
    *headers: tuple[bytes, bytes], client: tuple[str, int] | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers behind the middleware."""
    seen: list[tuple[bytes, bytes]] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])

    async def nothing(*_: object) -> None:
        raise AssertionError("the headers are all that is looked at")

    # Below this path the proxy speaks for itself.
    scope = {"type": "http", "path": "/-/routes", "headers": list(headers), "client": client}
    await _wrapped(proxy)(scope, nothing, nothing)
    return seen


def _wrapped(proxy: ASGIApp) -> ASGIApp:
    for middleware in middlewares():
        proxy = middleware.cls(proxy, *middleware.args, **middleware.kwargs)
    return proxy


async def test_what_is_usual_stays_as_it_is() -> None:
    usual = [
        (b"host", b"localhost"),
        (b"x-request-id", b"order-4711"),
        (b"x-request-timeout-seconds", b"5"),
        (b"x-name", "M\u00fcller".encode()),
    ]
    assert await _seen(*usual) == usual


@pytest.mark.parametrize("value", [b"", b"an id", b"\xff", "M\u00fcller".encode(), b"x" * 129])
async def test_an_id_that_is_not_safe_is_taken_away(value: bytes) -> None:
    assert await _seen((b"x-request-id", value), (b"host", b"a")) == [(b"host", b"a")]


@pytest.mark.parametrize(
    "name",
    [
        b"x-request-disconnect-disabled",
        b"x-session-id",
        b"x_session_id",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
    ],
)
async def test_a_client_does_not_steer_the_proxy(name: bytes) -> None:
    assert await _seen((name, b"?1")) == []


@pytest.mark.parametrize("name", [b"x-polyhead-address", b"X_Polyhead_Address"])
async def test_a_client_does_not_choose_its_address(name: bytes) -> None:
    given = (name, b"192.0.2.1")
    assert await _seen(given, client=("198.51.100.7", 4711)) == [
        (b"x-polyhead-address", b"198.51.100.7")
    ]
    # HAProxy is on this machine, and has said it.
    assert await _seen(given, client=("127.0.0.1", 4711)) == [given]


async def test_a_gateway_watches_for_clients_that_leave_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: object())
    given = (b"x-request-disconnect-disabled", b"?0")
    assert await _seen((b"host", b"a"), given) == [
        (b"host", b"a"),
        (b"x-request-disconnect-disabled", b"?1"),
    ]


async def test_every_value_can_be_read() -> None:
    [(name, value)] = await _seen((b"x-request-timeout-seconds", b"5\xff"))
    assert name == b"x-request-timeout-seconds"
    assert value.decode() == "5\N{REPLACEMENT CHARACTER}"


async def test_what_has_no_headers_passes() -> None:
    passed: list[Scope] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope)

    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is received or sent")

    await _wrapped(proxy)({"type": "lifespan"}, nothing, nothing)
    assert passed == [{"type": "lifespan"}]
