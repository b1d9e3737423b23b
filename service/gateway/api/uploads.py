"""A file and the fields beside it, from a multipart form. They stay in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import InvalidFieldError, MalformedBodyError, MediaTypeError

__all__ = ["Upload", "read_upload"]

_MAX_FIELDS = 32
_ENCODED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
_ANY_NAME = re.compile(rb";\s*filename\*?\s*=\s*(\"[^\"]*\"|[^;]*)", re.IGNORECASE)
_MAX_FIELD_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024
"""Bytes of a form that are read before others have their turn."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A form with a file."""

    fields: dict[str, str] = field(repr=False)
    """The first of each name."""
    name: str | None = field(repr=False)
    """Name of the file, as the client says it."""
    media_type: str | None
    data: bytes = field(repr=False)

    def names(self, name: str) -> tuple[str, ...]:
        """A field with commas between its values."""
        given = self.fields.get(name, "").split(",")
        return tuple(each.strip() for each in given if each.strip())


class _InMemory(MultiPartParser):
    spool_max_size = 0  # no size: the body as a whole is bounded

    def on_headers_finished(self) -> None:
        """Reads a name that is percent-encoded, too, as some programs send those of other letters;
        the parser would take the file for a field."""
        part = self._current_part
        found = _ENCODED_NAME.search(part.content_disposition or b"")
        if found is not None and part.content_disposition is not None:
            name = unquote_to_bytes(found[1]).replace(b"\\", b"_").replace(b'"', b"_")
            plain = _ANY_NAME.sub(b"", part.content_disposition)
            part.content_disposition = plain + b'; filename="%b"' % name
        super().on_headers_finished()


async def read_upload(request: Request, *, field: str = "file") -> Upload:
    """The form in a request's body.

    Raises:
        MediaTypeError, MalformedBodyError: it is none.
        InvalidFieldError: it has no file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise MediaTypeError("the Content-Type must be multipart/form-data, for a file")
    body = await request.body()
    parser = _InMemory(
        request.headers, _chunks(body), max_files=1, max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )  # fmt: skip
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:
        reason = error.message if isinstance(error, MultiPartException) else type(error).__name__
        raise MalformedBodyError(
            f"the body must be a multipart form of a file and at most {_MAX_FIELDS} fields, but is "
            f"not: {reason}"
        ) from None
    try:
        return await _upload(form, field)
    finally:
        await form.close()


async def _upload(form: FormData, field: str) -> Upload:
    file = form.get(field)
    if not isinstance(file, UploadFile):
        raise InvalidFieldError(f"`{field}` must be a file, with its name", field=field)
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, value)
    return Upload(
        fields=fields, name=file.filename, media_type=file.content_type, data=await file.read()
    )


async def _chunks(body: bytes) -> AsyncGenerator[bytes, None]:
    for begin in range(0, len(body), _CHUNK_BYTES):
        yield body[begin : begin + _CHUNK_BYTES]
        await asyncio.sleep(0)
    yield b""
