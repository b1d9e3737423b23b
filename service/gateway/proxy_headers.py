"""Request headers as Ray Serve's HTTP proxy may see them.

The proxy reads some headers before the gateway does: it answers 500 in plain text to a value that
is not UTF-8, repeats an X-Request-Id whatever is in it, and lets a client choose its replica or
switch off that its work ends when it goes. The proxy asks `middlewares` for this middleware, and
for what puts its own answers into our words, where RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH is
"service.gateway.proxy_headers:middlewares".
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.gateway.proxy_errors import ProxyErrorMiddleware
from service.gateway.request_context import is_safe_id

__all__ = ["SanitizeHeadersMiddleware", "middlewares"]

_OF_SERVE = frozenset(
    {"serve_multiplexed_model_id", "x_session_id", "x_request_disconnect_disabled"}
)
"""Headers that steer the proxy; it takes "-" and "_" for the same."""


class SanitizeHeadersMiddleware:
    """Passes on only what the proxy can read and a client may say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if "headers" in scope:
            scope = {**scope, "headers": _cleaned(scope["headers"])}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What the proxy puts around itself, the innermost first."""
    return [Middleware(ProxyErrorMiddleware), Middleware(SanitizeHeadersMiddleware)]


def _cleaned(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    cleaned = []
    for name, value in headers:
        text = value.decode("utf-8", errors="replace")
        key = name.decode("latin-1").lower().replace("-", "_")
        # Without a usable id the proxy makes a new one, which the gateway takes over.
        if key in _OF_SERVE or (key == "x_request_id" and not is_safe_id(text)):
            continue
        cleaned.append((name, text.encode()))
    return cleaned
