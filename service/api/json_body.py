"""JSON from a request, read strictly: the right type, UTF-8, no half surrogates, no NaN."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.errors import MalformedBodyError, MediaTypeError, shown

__all__ = ["JsonRoute", "is_json", "read_json"]


def is_json(headers: Headers) -> bool:
    """Whether the body is declared to be JSON: application/json, or application/...+json."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def read_json(headers: Headers, body: bytes) -> Any:
    """The value in `body`; MediaTypeError or MalformedBodyError when there is none to read."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise MediaTypeError(
            f"the body must not be compressed, but its Content-Encoding is {shown(encoding)}"
        )
    if not body:
        raise MalformedBodyError("the body must be a JSON object, but is empty")
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError as exc:
        raise MalformedBodyError(f"the body must be JSON in UTF-8, but is not: {exc}") from None


class JsonRoute(APIRoute):
    """A route whose body is JSON and nothing else; FastAPI then validates what was read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, given a body that has been read."""
        handle_value = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if not is_json(request.headers):
                given = request.headers.get("content-type")
                was = "there is none" if given is None else f"is {shown(given)}"
                raise MediaTypeError(f"the Content-Type must be application/json, but {was}")
            value = read_json(request.headers, await request.body())
            return await handle_value(_RequestWithJson(request, value))

        return handle


class _RequestWithJson(Request):
    """A request whose JSON has been parsed, as FastAPI wants to see it."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value

    async def body(self) -> bytes:
        """Not empty: all that FastAPI wants to know before it asks for the JSON."""
        return b"null"

    async def json(self) -> Any:
        """The value that was read."""
        return self._value
