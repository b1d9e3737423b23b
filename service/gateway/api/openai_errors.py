"""Errors in the form of OpenAI's API, whose clients read `type`, `param` and `code`.

Source: what https://api.openai.com answers, as reports against its clients quote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ConfigDict
from starlette.responses import JSONResponse, Response

from service.errors import Failure, Rule
from service.gateway.api.contract import Reply
from service.gateway.api.native import TRANSLATE_ERRORS, native_body
from service.gateway.request_context import RequestContext

__all__ = ["OPENAI_ERRORS", "OpenAIErrorReply", "models_error", "openai_error"]


class OpenAIErrorBody(Reply):
    """What went wrong."""

    message: str
    """What must be and what was, for a person."""
    type: str
    """A wide class of errors, such as "invalid_request_error"."""
    param: str | None
    """The field to blame, if it is one."""
    code: str | None
    """A stable name that a program can compare with, if OpenAI has one."""


class OpenAIErrorReply(Reply):
    """Any answer in OpenAI's form that is not a success."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "message": "`model` must be one that GET /v1/models lists, but is 'gpt-5'",
                        "type": "invalid_request_error",
                        "param": "model",
                        "code": "model_not_found",
                    }
                }
            ]
        }
    )

    error: OpenAIErrorBody


class _Kind(NamedTuple):
    """How OpenAI tells a kind of failure."""

    type: str
    code: str | None = None
    status: int | None = None
    """In place of ours."""


_INVALID, _SERVER = "invalid_request_error", "server_error"
_KINDS: Mapping[str, _Kind] = {
    "method_not_allowed": _Kind(_INVALID, "method_not_supported"),
    "unsupported_media_type": _Kind(_INVALID, "unsupported_content_type"),
    "missing_api_key": _Kind(_INVALID),
    "invalid_api_key": _Kind(_INVALID, "invalid_api_key"),
    "forbidden": _Kind(_INVALID, "missing_scope"),
    "unsupported_language": _Kind(_INVALID, "unsupported_value", 400),
    "too_long_for_deadline": _Kind(_INVALID, "context_length_exceeded", 400),
    "rate_limited": _Kind("requests", "rate_limit_exceeded"),
    "quota_exceeded": _Kind("insufficient_quota", "insufficient_quota"),
    "overloaded": _Kind("service_unavailable_error", "server_is_overloaded"),
}
"""By the kind of a failure."""
_CODES: Mapping[Rule | None, str] = {
    Rule.PRESENCE: "missing_required_parameter",
    Rule.TYPE: "invalid_type",
    Rule.TEXT_LENGTH: "context_length_exceeded",
    None: "invalid_value",
}
"""By the rule that a field breaks."""


def openai_error(failure: Failure, context: RequestContext) -> Response:
    """A failure in OpenAI's form, which has one status for all invalid requests."""
    del context  # the id is in the header
    kind = _kind_of(failure)
    body = OpenAIErrorReply(
        error=OpenAIErrorBody(
            message=failure.message, type=kind.type, param=failure.field, code=kind.code
        )
    )
    return JSONResponse(
        body.model_dump(), status_code=kind.status or failure.status, headers=failure.headers
    )


def models_error(failure: Failure, context: RequestContext) -> Response:
    """A failure in the native form, and beside it what OpenAI's clients read: the models are
    listed to both."""
    told = native_body(failure, context)
    if failure.kind == "not_found":
        failure = replace(failure, field="model")
    told["error"] |= {"param": failure.field, "code": _kind_of(failure).code}
    return JSONResponse(told, status_code=failure.status, headers=failure.headers)


def _kind_of(failure: Failure) -> _Kind:
    if failure.status == 404 and failure.field == "model":
        return _Kind(_INVALID, "model_not_found")
    if (kind := _KINDS.get(failure.kind)) is not None:
        return kind
    if failure.status == 422:
        return _Kind(_INVALID, _CODES[failure.rule], 400)
    return _Kind(_INVALID if failure.status < 500 else _SERVER)


OPENAI_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorReply, "description": error["description"]}
    for status, error in TRANSLATE_ERRORS.items()
    if status != 422
} | {
    400: {
        "model": OpenAIErrorReply,
        "description": "The body is not JSON in UTF-8, or a field breaks a rule, or a language is "
        "not served, or the text is too long",
    },
    404: {"model": OpenAIErrorReply, "description": "There is no such model"},
}
"""How the route may fail."""
