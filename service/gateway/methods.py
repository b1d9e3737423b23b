"""HEAD wherever there is GET, and OPTIONS at every path."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gateway.answer_headers import CrossOrigin
from service.gateway.request_context import RequestContext

__all__ = ["IS_HEAD", "MethodsMiddleware"]

IS_HEAD = "polyhead.is_head"
"""Key of a scope: whether nobody reads the body, for answers that would go on for long."""


class MethodsMiddleware:
    """ASGI middleware that answers OPTIONS, and HEAD as GET without the body.

    Args:
        app: what answers everything else.
        allowed: the methods of all routes at the path of a request, "" where there is none.
        cross_origin: what pages of other origins may do.
    """

    def __init__(
        self, app: ASGIApp, *, allowed: Callable[[Scope], str], cross_origin: CrossOrigin
    ) -> None:
        self._app = app
        self._allowed = allowed
        self._cross_origin = cross_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "OPTIONS" and (methods := self._allowed(scope)):
            route = RequestContext.of(scope).route
            preflight = self._cross_origin.preflight(route, methods, Headers(scope=scope))
            answer = Response(status_code=200, headers={"Allow": methods, **preflight})
            await answer(scope, receive, send)
        elif method == "HEAD":
            await self._app({**scope, "method": "GET", IS_HEAD: True}, receive, _without_body(send))
        else:
            await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
