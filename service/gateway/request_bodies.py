"""Compressed bodies of requests, within the limit of the body that they become."""

from __future__ import annotations

import zlib

from service.errors import BodyTooLargeError, MalformedBodyError, MediaTypeError, shown

__all__ = ["is_compressed", "uncompressed"]

_GZIP = 16 + zlib.MAX_WBITS
_KINDS = ("gzip", "x-gzip")
_MOST_MEMBERS = 64
"""Parts that a gzip may have. Each costs a copy of what is behind it, and most have one."""


def is_compressed(encoding: str | None) -> bool:
    """Whether a Content-Encoding says that a body is compressed.

    Raises:
        MediaTypeError: it is, in a way that is not accepted.
    """
    kind = (encoding or "identity").strip().lower()
    if kind in _KINDS:
        return True
    if kind == "identity":
        return False
    raise MediaTypeError(
        f"the Content-Encoding must be gzip, or the body not compressed, but is {shown(kind)}"
    )


def uncompressed(body: bytes, most: int) -> bytes:
    """What a body by gzip says, of at most so many bytes.

    Raises:
        BodyTooLargeError: it says more.
        MalformedBodyError: it is none.
    """
    parts: list[bytes] = []
    size = 0
    try:
        for _ in range(_MOST_MEMBERS):
            if not body:
                break
            reader = zlib.decompressobj(_GZIP)
            parts.append(reader.decompress(body, most - size + 1))
            size += len(parts[-1])
            if size > most:
                raise BodyTooLargeError(
                    f"the body must have at most {most} bytes when it is uncompressed, but has more"
                )
            if not reader.eof:
                raise MalformedBodyError("the body must be whole, but its gzip has no end")
            body = reader.unused_data
    except zlib.error as error:
        raise MalformedBodyError(
            f"the body must be compressed by gzip, but is not: {error}"
        ) from None
    if body:
        raise MalformedBodyError(
            f"the body's gzip must have at most {_MOST_MEMBERS} members, but has more"
        )
    return b"".join(parts)
