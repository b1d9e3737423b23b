"""The table exception -> HTTP status, kind, message and Retry-After, and the service's exceptions.

They extend the tree of `model.errors`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model.errors import (
    DeadlineExceededError,
    EngineDeadError,
    InvalidRequestError,
    ModelNotLoadedError,
    QueueFullError,
    RequestCancelledError,
    RequestFailedError,
    TooLongForDeadlineError,
    UnsupportedLanguageError,
)
from service.documents.errors import (
    DocumentError,
    DocumentTooLargeError,
    UnsupportedDocumentError,
)

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "BodyTimeoutError",
    "BodyTooLargeError",
    "DocumentNotReadyError",
    "Failure",
    "ForbiddenError",
    "HeadersTooLargeError",
    "InvalidFieldError",
    "InvalidKeyError",
    "LanguageNotServedError",
    "MalformedBodyError",
    "MediaTypeError",
    "MissingFieldError",
    "MissingKeyError",
    "ModelConflictError",
    "ModelUnavailableError",
    "OverloadedError",
    "QuotaExceededError",
    "RateLimitedError",
    "Rule",
    "StoreFullError",
    "StoreUnavailableError",
    "TextTooLongError",
    "UnauthenticatedError",
    "UnknownDocumentError",
    "UnknownGlossaryError",
    "UnknownModelError",
    "UnknownRequestedModelError",
    "UrlTooLongError",
    "VersionNotSupportedError",
    "WebSocketError",
    "failure_of",
    "shown",
]

CLIENT_CLOSED_REQUEST = 499
"""The status of a request whose client has disconnected, in metrics and logs."""

_OVERLOADED = "overloaded"
_MAX_PROBLEMS = 5
_MAX_SHOWN = 60


class Rule(Enum):
    """What kind of rule a field breaks, for contracts that tell it."""

    PRESENCE = "presence"
    TYPE = "type"
    TEXT_LENGTH = "text_length"


class InvalidFieldError(InvalidRequestError):
    """A field breaks a rule; `field` is its path in the request, such as `texts[3]`."""

    rule: Rule | None = None

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class MissingFieldError(InvalidFieldError):
    """A field must be there, and is not."""

    rule = Rule.PRESENCE


class TextTooLongError(InvalidFieldError):
    """The texts have more characters than they may."""

    rule = Rule.TEXT_LENGTH


class LanguageNotServedError(InvalidFieldError, UnsupportedLanguageError):
    """No model translates between the two languages."""


class MalformedBodyError(InvalidRequestError):
    """The body is not JSON in UTF-8, or not a form."""


class MediaTypeError(InvalidRequestError):
    """The body has a media type or encoding that the route does not accept."""


class BodyTooLargeError(InvalidRequestError):
    """The body has more bytes than the limit."""


class BodyTimeoutError(InvalidRequestError):
    """The client did not send its body in time."""


class UrlTooLongError(InvalidRequestError):
    """The path and the query have more bytes than the limit."""


class HeadersTooLargeError(InvalidRequestError):
    """The headers have more bytes than the limit, or are too many."""


class VersionNotSupportedError(InvalidRequestError):
    """The version of HTTP is another one than 1.0 and 1.1."""


class WebSocketError(InvalidRequestError):
    """The request asks for a WebSocket, of which there is none."""


class OverloadedError(RequestFailedError):
    """The gateway is at its limit of requests in flight."""


class ModelUnavailableError(RequestFailedError):
    """No replica of the model answers now."""


class UnknownModelError(InvalidRequestError):
    """There is no model of that name at this path."""


class UnknownRequestedModelError(InvalidFieldError, UnknownModelError):
    """There is no model of the name that a request gives."""


class ModelConflictError(InvalidRequestError):
    """The catalog's state does not allow the change."""


class UnknownGlossaryError(InvalidFieldError):
    """The client has no glossary of that id."""


class UnknownDocumentError(InvalidRequestError):
    """The client has no document of that id, or not any more."""


class DocumentNotReadyError(InvalidRequestError):
    """A document has not been translated yet, or could not be."""


class UnauthenticatedError(InvalidRequestError):
    """The token of the operator is missing or wrong."""


class MissingKeyError(UnauthenticatedError):
    """The request must have an API key, and has none."""


class InvalidKeyError(UnauthenticatedError):
    """There is no such API key, or not any more."""


class ForbiddenError(InvalidRequestError):
    """Nobody may do this over HTTP here, or not with this key."""


class _LimitError(InvalidRequestError):
    """A client has used what it may for now; `seconds` until it may go on."""

    def __init__(self, message: str, *, seconds: float = 1.0) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(max(1, math.ceil(seconds)))}


class RateLimitedError(_LimitError):
    """A client asks for more in a minute than it may."""


class TooManyWatchersError(_LimitError):
    """As many watch the service at a gateway as may."""


class QuotaExceededError(_LimitError):
    """A client has used what it may in a month."""


class StoreUnavailableError(RequestFailedError):
    """The database or the blobs cannot be used now; the message is for the log."""


class StoreFullError(StoreUnavailableError):
    """There is no room on the disk of the database or the blobs."""


@dataclass(frozen=True)
class Failure:
    """What a client is told about an exception, independent of the contract."""

    status: int
    """HTTP status."""
    kind: str
    """A stable identifier for programs."""
    message: str = ""
    """What must be and what was, for people."""
    field: str | None = None
    """Path of the invalid field."""
    rule: Rule | None = None
    """What kind of rule it breaks, where that is known."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Further headers of the answer: Retry-After, Allow."""

    @property
    def is_overload(self) -> bool:
        """Whether the request was refused for overload."""
        return self.kind == _OVERLOADED


_RETRY_SOON = MappingProxyType({"Retry-After": "1"})
"""A full queue moves on within a second."""
_RETRY_LATER = MappingProxyType({"Retry-After": "5"})
"""A replica is replaced in about five seconds."""
_CLOSE = MappingProxyType({"Connection": "close"})
"""The client may still be sending its body."""
_BEARER = MappingProxyType({"WWW-Authenticate": "Bearer"})

# A class not listed is answered as its nearest base class. A message here replaces the exception's
# own, which may describe the machine.
_TABLE: Mapping[type[BaseException], Failure] = {
    InvalidRequestError: Failure(422, "invalid_request"),
    UnsupportedLanguageError: Failure(422, "unsupported_language"),
    LanguageNotServedError: Failure(422, "unsupported_language"),
    TooLongForDeadlineError: Failure(422, "too_long_for_deadline"),
    MalformedBodyError: Failure(400, "malformed_body"),
    MediaTypeError: Failure(415, "unsupported_media_type"),
    BodyTooLargeError: Failure(413, "body_too_large", headers=_CLOSE),
    BodyTimeoutError: Failure(408, "body_timeout", headers=_CLOSE),
    UrlTooLongError: Failure(414, "url_too_long", headers=_CLOSE),
    HeadersTooLargeError: Failure(431, "headers_too_large", headers=_CLOSE),
    VersionNotSupportedError: Failure(505, "version_not_supported", headers=_CLOSE),
    WebSocketError: Failure(400, "no_websocket", headers=_CLOSE),
    QueueFullError: Failure(
        503, _OVERLOADED, "the waiting queue is full; try again later", headers=_RETRY_SOON
    ),
    OverloadedError: Failure(503, _OVERLOADED, headers=_RETRY_SOON),
    DeadlineExceededError: Failure(
        504, "deadline_exceeded", "the time for this request ran out before it was done"
    ),
    RequestCancelledError: Failure(
        503, "cancelled", "the server gave this request up; try again", headers=_RETRY_SOON
    ),
    EngineDeadError: Failure(
        503, "unavailable", "the model is being restarted; try again later", headers=_RETRY_LATER
    ),
    ModelNotLoadedError: Failure(503, "unavailable", headers=_RETRY_LATER),
    ModelUnavailableError: Failure(503, "unavailable", headers=_RETRY_LATER),
    UnknownModelError: Failure(404, "not_found"),
    ModelConflictError: Failure(409, "conflict"),
    UnauthenticatedError: Failure(401, "unauthenticated", headers=_BEARER),
    MissingKeyError: Failure(401, "missing_api_key", headers=_BEARER),
    InvalidKeyError: Failure(401, "invalid_api_key", headers=_BEARER),
    ForbiddenError: Failure(403, "forbidden"),
    UnknownGlossaryError: Failure(404, "not_found"),
    UnknownDocumentError: Failure(404, "not_found"),
    DocumentNotReadyError: Failure(409, "document_not_ready"),
    DocumentError: Failure(422, "invalid_document"),
    DocumentTooLargeError: Failure(413, "document_too_large"),
    UnsupportedDocumentError: Failure(415, "unsupported_document"),
    RateLimitedError: Failure(429, "rate_limited"),
    TooManyWatchersError: Failure(429, "too_many_watchers"),
    QuotaExceededError: Failure(429, "quota_exceeded"),
    StoreUnavailableError: Failure(
        503,
        "store_unavailable",
        "what is stored cannot be reached now; try again later",
        headers=_RETRY_LATER,
    ),
    StoreFullError: Failure(507, "store_full", "there is no room to store anything now"),
}
_INTERNAL = Failure(
    500, "internal_error", "the server failed to answer; its log tells more under the request id"
)
_KIND_OF_STATUS: Mapping[int, str] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
}


def failure_of(exc: BaseException) -> Failure:
    """The failure to answer for `exc`; without details for an unexpected exception."""
    if isinstance(exc, RequestValidationError):
        return _failure_of_validation(exc)
    if isinstance(exc, HTTPException):
        return _failure_of_http(exc)
    row = next((_TABLE[cls] for cls in type(exc).__mro__ if cls in _TABLE), _INTERNAL)
    return replace(
        row,
        message=row.message or str(exc),
        field=getattr(exc, "field", None),
        rule=getattr(exc, "rule", None),
        headers={**row.headers, **(exc.headers if isinstance(exc, _LimitError) else {})},
    )


def shown(value: object) -> str:
    """A value for an error message, as JSON and at most a line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "…")
        case int() if value.bit_length() > 128:  # Python refuses to print more than 4300 digits
            return "a number of more than 38 digits"
        case int() | float():
            return str(value)
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"of type {type(value).__name__}"


def _failure_of_http(exc: HTTPException) -> Failure:
    headers = dict(exc.headers or {})
    message = exc.detail
    if exc.status_code == 404:
        message = "there is nothing at this path; /docs lists what there is"
    if exc.status_code == 405:
        methods = headers.get("Allow", "another one").split(", ")
        main = ", ".join(one for one in methods if one not in ("HEAD", "OPTIONS"))
        message = f"the method must be {main} at this path"
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
        rule=_rule_of(errors[0]["type"]),
    )


def _rule_of(kind: str) -> Rule | None:
    """What kind of rule a validation error is of."""
    if kind == "missing":
        return Rule.PRESENCE
    return Rule.TYPE if kind in _JSON_NAMES else None


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
    """A validation error in our wording: the field, what must be, what was."""
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
    # pydantic's "Input should be ...", "List should have ...".
    rule, matches = re.subn(r"^\w+ should (?=be|have)", "must ", message)
    return rule if matches else f"must be valid ({message})"


def _path(location: Iterable[str | int]) -> str:
    """("body", "texts", 3) -> "texts[3]"."""
    path = ""
    for step in list(location)[1:]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path[:_MAX_SHOWN]
