"""Strict reading of JSON bodies: media type, character set, no lone surrogates, no NaN.

FastAPI describes a route of them, and has no part in serving it: of a request that a model answers
at once, its layers took a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import MalformedBodyError, MediaTypeError, shown
from service.gateway.api.charsets import in_utf8
from service.gateway.request_context import header

__all__ = [
    "JsonRoute",
    "content_type_of",
    "is_json",
    "looks_like_json",
    "media_type",
    "read_json",
]

_UNSAID = ("", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream")
"""What programs send that do not say what the body is."""


def content_type_of(request: Request) -> str:
    """What a request says that its body is; "" for nothing."""
    return header(request.scope, b"content-type") or ""


def media_type(content_type: str) -> str:
    """A Content-Type in small letters, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a body is declared to be JSON: application/json, or application/...+json."""
    kind = media_type(content_type)
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def looks_like_json(content_type: str, body: bytes) -> bool:
    """Whether a body is a JSON object that is not declared to be one."""
    return media_type(content_type) in _UNSAID and body[:64].lstrip(
        b"\xef\xbb\xbf \t\r\n"
    ).startswith(b"{")


def read_json(content_type: str, body: bytes) -> Any:
    """The value in `body`; MediaTypeError or MalformedBodyError if it cannot be read."""
    body = in_utf8(content_type, body)
    if not body:
        raise MalformedBodyError("the body must be a JSON object, but is empty")
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="none")
    except ValueError as exc:
        raise MalformedBodyError(f"the body must be JSON in UTF-8, but is not: {exc}") from None


class JsonRoute(APIRoute):
    """A route whose body is JSON and nothing else.

    Its endpoint takes the request and the body, whose pydantic model FastAPI documents, and returns
    the response. The body is read and validated here: FastAPI's own reading is less strict.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answer = self.get_route_handler()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Reads the body, validates it and calls the endpoint."""
        model = self.body_field and self.body_field.field_info.annotation
        if not isinstance(model, type) or not issubclass(model, BaseModel):
            raise TypeError(f"the endpoint of {self.path} must take one model, but takes {model}")
        endpoint: Callable[[Request, Any], Coroutine[Any, Any, Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            content_type = content_type_of(request)
            if not is_json(content_type):
                was = f"is {shown(content_type)}" if content_type else "there is none"
                raise MediaTypeError(f"the Content-Type must be application/json, but {was}")
            value = read_json(content_type, await request.body())
            return await endpoint(request, _validated(model, value))

        return handle

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request to this route; raises what the endpoint does."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
    """The body as its model; RequestValidationError, with paths that begin at the body."""
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in errors]
        ) from None
