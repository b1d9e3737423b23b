"""What Ray Serve's HTTP proxy answers by itself, in the API's words.

Where no gateway answers, the proxy does, in plain text: 404 while there is no application, at the
start and at the end; 408 when the time that a client gave is up before the gateway can say so; 503
when every gateway has as many requests as it takes; 500 when a gateway died with the request. The
gateways' own answers pass as they are: no error among them is plain text.

Made for a Serve that runs nothing else: errors of other applications in plain text would be taken
for the proxy's.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import DeadlineExceededError, PolyheadError
from service.errors import ModelUnavailableError, OverloadedError, failure_of
from service.gateway.api.error_answers import CONTRACT_TEMPLATES, error_answer
from service.gateway.request_context import RequestContext, request_id_from

__all__ = ["ProxyErrorMiddleware"]

_REQUEST_ID_HEADER = "X-Request-Id"
_OF_SERVE_ITSELF = "/-/"
"""Paths below which the proxy tells of its own health and routes."""

_FULL = OverloadedError("no gateway has room for this request; try again later")
_MEANINGS: Mapping[int, PolyheadError] = {
    404: ModelUnavailableError("the service is starting, or about to end; try again later"),
    408: DeadlineExceededError(),
    429: _FULL,
    503: _FULL,
}
_LOST = ModelUnavailableError("the gateway that had this request was lost; try again")


class ProxyErrorMiddleware:
    """Says instead of the proxy what it means.

    Stands before the proxy's own middleware that gives each request an id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["path"].startswith(_OF_SERVE_ITSELF):
            await self._app(scope, receive, send)
            return
        answered = replaced = False

        async def send_or_replace(message: Message) -> None:
            nonlocal answered, replaced
            if message["type"] == "http.response.start":
                answered = True
                if (meaning := _meaning(message)) is not None:
                    replaced = True
                    await _answer(scope, meaning)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_or_replace)
        if not answered:
            # The server would say 500. If the client has gone instead, nobody hears this.
            await _answer(scope, _LOST)(scope, receive, send)


def _meaning(start: Message) -> PolyheadError | None:
    """Of an answer, if the proxy gave it by itself."""
    if Headers(raw=start["headers"]).get("content-type", "").startswith("text/plain"):
        return _MEANINGS.get(start["status"])
    return None


def _answer(scope: Scope, error: PolyheadError) -> Response:
    # By now the proxy has put a new id among the request's headers if the client gave none.
    request_id = request_id_from(Headers(scope=scope).get(_REQUEST_ID_HEADER))
    context = RequestContext(request_id=request_id, route=CONTRACT_TEMPLATES.template_of(scope))
    answer = error_answer(failure_of(error), context)
    answer.headers[_REQUEST_ID_HEADER] = request_id
    return answer
