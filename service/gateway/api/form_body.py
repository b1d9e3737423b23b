"""Form fields from a request's body and its query string."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import MalformedBodyError

__all__ = ["read_form"]

_MAX_PART_BYTES = 16 * 1024 * 1024
"""Above the limit of the whole body, which holds instead."""


async def read_form(
    request: Request, *, max_fields: int, lists: Collection[str]
) -> dict[str, str | list[str]]:
    """The fields of the query string and of an urlencoded or multipart body.

    A field in `lists` that occurs more than once becomes a list; of any other the first counts.
    Line ends become "\\n", since browsers send "\\r\\n" whatever was typed. MalformedBodyError for
    more than `max_fields` fields and for bytes that are not UTF-8.
    """
    pairs = _parse(request.scope.get("query_string", b""), max_fields)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs += _parse(await request.body(), max_fields)
    elif kind == "multipart/form-data":
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


def _parse(encoded: bytes, max_fields: int) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            encoded.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=max_fields,
        )
    except UnicodeDecodeError:
        raise MalformedBodyError("form fields must be in UTF-8, but are not") from None
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
