"""One table: exception -> HTTP status, kind, message and Retry-After. Nothing else decides them.

What the service itself raises on purpose, below the tree of `model.errors`:

    InvalidRequestError
    ├── InvalidFieldError            a field breaks a rule
    │   └── LanguageNotServedError   ... of which languages are served (an UnsupportedLanguageError)
    ├── MalformedBodyError           the body cannot be read at all
    ├── MediaTypeError               the body is of a type that this route does not take
    ├── BodyTooLargeError
    └── BodyTimeoutError             the body did not arrive in time
    RequestFailedError
    ├── OverloadedError              the gateway has as many requests as it may
    └── ModelUnavailableError        no replica of the model answers now
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
    RequestFailedError,
    UnsupportedLanguageError,
)

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "BodyTimeoutError",
    "BodyTooLargeError",
    "Failure",
    "InvalidFieldError",
    "LanguageNotServedError",
    "MalformedBodyError",
    "MediaTypeError",
    "ModelUnavailableError",
    "OverloadedError",
    "failure_of",
    "shown",
]

CLIENT_CLOSED_REQUEST = 499
"""The status of a request whose client has gone: in metrics and logs only, nobody is there to read
an answer."""

_OVERLOADED = "overloaded"
_MAX_PROBLEMS = 5
_MAX_SHOWN = 60


class InvalidFieldError(InvalidRequestError):
    """A field breaks a rule; `field` is its path in the request, such as `texts[3]`."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class LanguageNotServedError(InvalidFieldError, UnsupportedLanguageError):
    """No model translates between the two languages."""


class MalformedBodyError(InvalidRequestError):
    """The body is not JSON in UTF-8, or not a form."""


class MediaTypeError(InvalidRequestError):
    """The body is of a type, or compressed in a way, that this route does not take."""


class BodyTooLargeError(InvalidRequestError):
    """The body has more bytes than the limit."""


class BodyTimeoutError(InvalidRequestError):
    """The client did not send its body in time."""


class OverloadedError(RequestFailedError):
    """The gateway works on as many requests as it may."""


class ModelUnavailableError(RequestFailedError):
    """No replica of the model answers now."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What a client is told of an exception, in the words of no particular API."""

    status: int
    """HTTP status."""
    kind: str
    """A stable name that a program can compare with."""
    message: str
    """What must be and what was, for a person."""
    field: str | None = None
    """Path of the field that is to blame."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Further headers of the answer: Retry-After, Allow."""

    @property
    def is_overload(self) -> bool:
        """Whether the request was refused only since there was too much to do."""
        return self.kind == _OVERLOADED


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row of the table."""

    status: int
    kind: str
    retry_after: int | None = None
    """Seconds."""
    message: str | None = None
    """Says it instead of the exception, whose text may speak of the machine."""
    close: bool = False
    """End the connection: the client still sends a body that nobody will read."""


# A class not listed is answered as its nearest base class is. A replaced replica is back in about
# five seconds; a full queue moves on within one.
_TABLE: Mapping[type[BaseException], _Row] = {
    InvalidRequestError: _Row(status=422, kind="invalid_request"),
    UnsupportedLanguageError: _Row(status=422, kind="unsupported_language"),
    LanguageNotServedError: _Row(status=422, kind="unsupported_language"),
    MalformedBodyError: _Row(status=400, kind="malformed_body"),
    MediaTypeError: _Row(status=415, kind="unsupported_media_type"),
    BodyTooLargeError: _Row(status=413, kind="body_too_large", close=True),
    BodyTimeoutError: _Row(status=408, kind="body_timeout", close=True),
    QueueFullError: _Row(
        status=503,
        kind=_OVERLOADED,
        retry_after=1,
        message="the waiting queue is full; try again later",
    ),
    OverloadedError: _Row(status=503, kind=_OVERLOADED, retry_after=1),
    DeadlineExceededError: _Row(
        status=504,
        kind="deadline_exceeded",
        message="the time for this request ran out before it was done",
    ),
    RequestCancelledError: _Row(
        status=503,
        kind="cancelled",
        retry_after=1,
        message="the server gave this request up; try again",
    ),
    EngineDeadError: _Row(
        status=503,
        kind="unavailable",
        retry_after=5,
        message="the model is being restarted; try again later",
    ),
    ModelUnavailableError: _Row(status=503, kind="unavailable", retry_after=5),
}

_INTERNAL = _Row(
    status=500,
    kind="internal_error",
    message="the server failed to answer; its log tells more under the request id",
)

_KIND_OF_STATUS: Mapping[int, str] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
}


def failure_of(exc: BaseException) -> Failure:
    """What to tell the client of `exc`; without detail if nobody expected it."""
    if isinstance(exc, RequestValidationError):
        return _failure_of_validation(exc)
    if isinstance(exc, HTTPException):
        return _failure_of_http(exc)
    row = next((_TABLE[cls] for cls in type(exc).__mro__ if cls in _TABLE), _INTERNAL)
    headers = {}
    if row.retry_after is not None:
        headers["Retry-After"] = str(row.retry_after)
    if row.close:
        headers["Connection"] = "close"
    return Failure(
        status=row.status,
        kind=row.kind,
        message=row.message or str(exc),
        field=getattr(exc, "field", None),
        headers=headers,
    )


def shown(value: object) -> str:
    """A value as an error message shows it: JSON's words, never more than a line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "…")
        case int() | float():
            return _shown_number(value)
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"of type {type(value).__name__}"


def _shown_number(value: float) -> str:
    # Python refuses to print an integer of more than 4300 digits.
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    return str(value)


def _failure_of_http(exc: HTTPException) -> Failure:
    headers = dict(exc.headers or {})
    message = exc.detail
    if exc.status_code == 404:
        message = "there is nothing at this path; /docs lists what there is"
    if exc.status_code == 405:
        message = f"the method must be {headers.get('Allow', 'another one')} at this path"
    kind = _KIND_OF_STATUS.get(exc.status_code, "http_error")
    return Failure(status=exc.status_code, kind=kind, message=message, headers=headers)


def _failure_of_validation(exc: RequestValidationError) -> Failure:
    errors = exc.errors()
    problems = [_problem(error) for error in errors[:_MAX_PROBLEMS]]
    if len(errors) > _MAX_PROBLEMS:
        problems.append(f"and {len(errors) - _MAX_PROBLEMS} more")
    return Failure(
        status=422,
        kind="invalid_request",
        message="; ".join(problems),
        field=_path(errors[0]["loc"]) or None,
    )


# How pydantic opens a message -> how we do, after the field's name.
_OPENINGS: Mapping[str, str] = {
    "Input should be": "must be",
    "Input should have": "must have",
    "String should have": "must have",
    "List should have": "must have",
    "Dictionary should have": "must have",
}

_JSON_NAMES: Mapping[str, str] = {
    "string_type": "must be a string",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}


def _problem(error: Mapping[str, Any]) -> str:
    """One problem in the house's words: the field, what must be, what was."""
    path = _path(error["loc"])
    name = f"`{path}`" if path else "the body"
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"{name} is required"
    if kind == "extra_forbidden":
        return f"{name} is not a field of this request"
    if kind == "value_error":
        return str(context["error"])
    if (length := context.get("actual_length")) is not None:
        return f"{name} {_rule(error)}, but has {length}"
    return f"{name} {_rule(error)}, but is {shown(error['input'])}"


def _rule(error: Mapping[str, Any]) -> str:
    if rule := _JSON_NAMES.get(error["type"]):
        return rule
    message = str(error["msg"])
    for opening, ours in _OPENINGS.items():
        if message.startswith(opening):
            return ours + message[len(opening) :]
    return f"must be valid ({message})"


def _path(location: Iterable[str | int]) -> str:
    """("body", "texts", 3) -> "texts[3]"."""
    steps = [step for index, step in enumerate(location) if index > 0]
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path[:_MAX_SHOWN]
