"""Strict reading of JSON bodies: media type, character set, no lone surrogates, no NaN."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.errors import MalformedBodyError, MediaTypeError, shown
from service.gateway.api.charsets import in_utf8

__all__ = ["JsonRoute", "is_json", "looks_like_json", "read_json"]

_UNSAID = ("", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream")
"""What programs send that do not say what the body is."""


def is_json(headers: Headers) -> bool:
    """Whether the body is declared to be JSON: application/json, or application/...+json."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def looks_like_json(headers: Headers, body: bytes) -> bool:
    """Whether the body is a JSON object that is not declared to be one."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _UNSAID and body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def read_json(headers: Headers, body: bytes) -> Any:
    """The value in `body`; MediaTypeError or MalformedBodyError if it cannot be read."""
    body = in_utf8(headers, body)
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

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Reads the body, validates it and calls the endpoint."""
        model = self.body_field and self.body_field.field_info.annotation
        if not isinstance(model, type) or not issubclass(model, BaseModel):
            raise TypeError(f"the endpoint of {self.path} must take one model, but takes {model}")
        endpoint: Callable[[Request, Any], Coroutine[Any, Any, Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            if not is_json(request.headers):
                given = request.headers.get("content-type")
                was = "there is none" if given is None else f"is {shown(given)}"
                raise MediaTypeError(f"the Content-Type must be application/json, but {was}")
            value = read_json(request.headers, await request.body())
            return await endpoint(request, _validated(model, value))

        return handle


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
    """The body as its model; RequestValidationError, with paths that begin at the body."""
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in errors]
        ) from None
