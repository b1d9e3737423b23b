"""Fields from a request's body, as JSON or a form, and from its query string."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import MalformedBodyError
from service.gateway.api.charsets import charset_of, in_utf8
from service.gateway.api.json_body import (
    content_type_of,
    is_json,
    looks_like_json,
    media_type,
    read_json,
)

__all__ = ["read_fields"]

_MAX_PART_BYTES = 16 * 1024 * 1024
"""Above the limit of the whole body, which holds instead."""


async def read_fields(request: Request, *, max_fields: int, lists: Collection[str]) -> Any:
    """The value in a JSON body, or the fields of a form as `_read_form` reads them.

    JSON is also taken from those who declare it as nothing, or as what their program sends by
    default.

    Raises:
        MalformedBodyError, MediaTypeError: the body cannot be read.
    """
    content_type = content_type_of(request)
    body = b"" if _is_multipart(content_type) else await request.body()
    if is_json(content_type) or looks_like_json(content_type, body):
        return read_json(content_type, body)
    return await _read_form(request, body, max_fields=max_fields, lists=lists)


async def _read_form(
    request: Request, body: bytes, *, max_fields: int, lists: Collection[str]
) -> dict[str, str | list[str]]:
    """The fields of the query string and of an urlencoded or multipart body.

    A field in `lists` that occurs more than once becomes a list; of any other the first counts.
    Line ends become "\\n", since browsers send "\\r\\n" whatever was typed. MalformedBodyError for
    more than `max_fields` fields and for bytes that are not UTF-8.
    """
    pairs = _parse(request.scope.get("query_string", b""), max_fields)
    content_type = content_type_of(request)
    if media_type(content_type) == "application/x-www-form-urlencoded":
        charset = charset_of(content_type)
        pairs += _parse(in_utf8(content_type, body), max_fields, charset)
    elif _is_multipart(content_type):
        pairs += await _parse_multipart(request, max_fields)
    fields: dict[str, Any] = {}
    for name, value in pairs:
        text = value.replace("\r\n", "\n")
        if name not in fields:
            fields[name] = text
        elif name in lists:
            before = fields[name]
            fields[name] = [*before, text] if isinstance(before, list) else [before, text]
    return fields


def _is_multipart(content_type: str) -> bool:
    return media_type(content_type) == "multipart/form-data"


def _parse(encoded: bytes, max_fields: int, charset: str = "utf-8") -> list[tuple[str, str]]:
    """`charset` is that of what is percent-encoded."""
    try:
        return parse_qsl(
            encoded.decode("utf-8"),
            keep_blank_values=True,
            encoding=charset,
            errors="strict",
            max_num_fields=max_fields,
        )
    except UnicodeDecodeError:
        name = charset.upper()
        raise MalformedBodyError(f"form fields must be in {name}, but are not") from None
    except ValueError:
        raise MalformedBodyError(
            f"a form must have at most {max_fields} fields, but has more"
        ) from None


async def _parse_multipart(request: Request, max_fields: int) -> list[tuple[str, str]]:
    try:
        async with request.form(
            max_files=0, max_fields=max_fields, max_part_size=_MAX_PART_BYTES
        ) as form:
            return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    except (ValueError, LookupError, HTTPException) as exc:
        # The client also chooses the character set, and some of Python's are not for text.
        reason = exc.detail if isinstance(exc, HTTPException) else type(exc).__name__
        raise MalformedBodyError(
            f"the body must be a multipart form of at most {max_fields} fields in UTF-8, without "
            f"files, each part with a name and few short headers, but is not: {reason}"
        ) from None
