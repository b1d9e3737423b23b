"""Middleware for Ray Serve's HTTP servers: sanitizes request headers, rewrites error answers.

The proxy reads some headers before the gateway does: it answers 500 in plain text to a value that
is not UTF-8, echoes any X-Request-Id, and lets a client choose its replica or turn off cancellation
on disconnect. Serve loads `middlewares` into the proxy where the environment variable
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH is "service.gateway.proxy_headers:middlewares"; and, where
HAProxy stands in the place of the proxy, into each gateway. There Serve is told not to watch
whether a client disconnects: `AdmissionMiddleware` does, and a second watch takes two tasks a
request.
"""

from __future__ import annotations

from functools import lru_cache

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.gateway.addresses import ADDRESS_HEADER
from service.gateway.proxy_errors import ProxyErrorMiddleware
from service.gateway.request_context import is_safe_id
from service.gateway.upgrades import ignore_upgrades

__all__ = ["SanitizeHeadersMiddleware", "middlewares"]

_SERVE_HEADERS = frozenset(
    {"serve_multiplexed_model_id", "x_session_id", "x_request_disconnect_disabled"}
)
"""Headers that control the proxy, which treats "-" and "_" alike."""
_UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
_ADDRESS = ADDRESS_HEADER.replace("-", "_")
_LOOPBACK = ("127.0.0.1", "::1")


class SanitizeHeadersMiddleware:
    """ASGI middleware that drops headers that control the proxy, unsafe ids and invalid UTF-8, and
    says in another one what address the client has.

    Args:
        app: Serve's.
        in_gateway: whether it is a gateway's server, which watches for clients that leave.
    """

    def __init__(self, app: ASGIApp, *, in_gateway: bool = False) -> None:
        self._app = app
        self._more = [_UNWATCHED] if in_gateway else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if "headers" in scope:
            headers = _sanitized(scope["headers"], scope.get("client"))
            scope = {**scope, "headers": headers + self._more}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """The middleware that Serve adds to its proxy, innermost first."""
    ignore_upgrades()  # the proxy's own server is made after this
    sanitize = Middleware(SanitizeHeadersMiddleware, in_gateway=_is_gateway())
    return [Middleware(ProxyErrorMiddleware), sanitize]


def _is_gateway() -> bool:
    """Whether this process is a replica of Serve's, and no proxy."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        serve.get_replica_context()
    except RayServeException:
        return False
    return True


@lru_cache(maxsize=256)
def _key(name: bytes) -> str:
    return name.decode("latin-1").lower().replace("-", "_")


def _sanitized(
    headers: list[tuple[bytes, bytes]], client: tuple[str, int] | None
) -> list[tuple[bytes, bytes]]:
    sanitized = []
    # HAProxy is on this machine, and has said it already.
    local = client is None or client[0] in _LOOPBACK
    for name, value in headers:
        key = _key(name)
        if not value.isascii():
            value = value.decode("utf-8", errors="replace").encode()
        # The proxy makes a new id for a request without one, and the gateway keeps it.
        if key in _SERVE_HEADERS or (key == "x_request_id" and not is_safe_id(value.decode())):
            continue
        if key == _ADDRESS and not local:
            continue
        sanitized.append((name, value))
    if client is not None and not local:
        sanitized.append((ADDRESS_HEADER.encode(), client[0].encode()))
    return sanitized
