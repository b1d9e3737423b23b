"""Rewrites the errors of Ray Serve's HTTP proxy into the error form of the route's contract.

The proxy answers in plain text where no gateway does: 404 while there is no application, at start
and shutdown; 408 when the client's deadline passes before a gateway answers; 503 when every gateway
is at its limit; 500 when a gateway died with the request. The gateways' own answers pass unchanged:
none of their errors is plain text. Plain-text errors of other applications on the same Serve would
be taken for the proxy's.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import DeadlineExceededError, PolyheadError
from service.errors import ModelUnavailableError, OverloadedError, failure_of
from service.gateway.api.error_answers import CONTRACT_TEMPLATES, error_answer
from service.gateway.request_context import REQUEST_ID_HEADER, RequestContext, request_id_from

__all__ = ["ProxyErrorMiddleware"]

_SERVE_PREFIX = "/-/"
"""Prefix of the proxy's own routes, such as its health."""

_OVERLOADED = OverloadedError("no gateway has room for this request; try again later")
_ERRORS: Mapping[int, PolyheadError] = {
    404: ModelUnavailableError("the service is starting, or about to end; try again later"),
    408: DeadlineExceededError(),
    429: _OVERLOADED,
    503: _OVERLOADED,
}
_GATEWAY_LOST = ModelUnavailableError("the gateway that had this request was lost; try again")


class ProxyErrorMiddleware:
    """ASGI middleware that replaces the proxy's own error answers.

    Runs outside the proxy's own middleware, which gives each request an id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["path"].startswith(_SERVE_PREFIX):
            await self._app(scope, receive, send)
            return
        answered = replaced = False

        async def send_or_replace(message: Message) -> None:
            nonlocal answered, replaced
            if message["type"] == "http.response.start":
                answered = True
                if (error := _proxy_error(message)) is not None:
                    replaced = True
                    await _answer(scope, error)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_or_replace)
        if not answered:
            # Else the server would answer 500. A client that has disconnected gets nothing.
            await _answer(scope, _GATEWAY_LOST)(scope, receive, send)


def _proxy_error(start: Message) -> PolyheadError | None:
    """The error that an answer of the proxy's own stands for; None for any other answer."""
    error = _ERRORS.get(start["status"])
    if error and Headers(raw=start["headers"]).get("content-type", "").startswith("text/plain"):
        return error
    return None


def _answer(scope: Scope, error: PolyheadError) -> Response:
    # The proxy has added a new id to the request's headers if the client sent none.
    request_id = request_id_from(Headers(scope=scope).get(REQUEST_ID_HEADER))
    context = RequestContext(request_id=request_id, route=CONTRACT_TEMPLATES.template_of(scope))
    answer = error_answer(failure_of(error), context)
    answer.headers[REQUEST_ID_HEADER] = request_id
    answer.headers["Content-Type"] = f"{answer.media_type}; charset=utf-8"
    return answer
