"""Text files in any character encoding, and back into it."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from charset_normalizer import from_bytes

from service.documents.errors import DamagedDocumentError

__all__ = ["EncodedText", "decoded"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 2**16
"""Bytes of a file that an encoding is guessed by."""
_MOST_CONTROLS = 0.01
"""Share of control characters from which on a file is no text."""


class EncodedText(NamedTuple):
    """A text, and how it was written as bytes."""

    text: str
    encoding: str
    mark: bytes = b""
    """The byte order mark that came first."""

    def encoded(self, text: str, errors: str = "strict") -> bytes:
        """Another text in the same encoding; in UTF-8 if that lacks one of its characters.

        Args:
            errors: as of `str.encode`.
        """
        try:
            return self.mark + text.encode(self.encoding, errors)
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace")


def decoded(data: bytes, *, declared: str | None = None) -> EncodedText:
    """The text of a file: as its byte order mark says, in UTF-8, as it is declared, or guessed.

    Args:
        declared: an encoding that the file itself names.

    Raises:
        DamagedDocumentError: it is no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return EncodedText(_text(data[len(mark) :], encoding), encoding, mark)
    try:
        return EncodedText(_checked(data.decode()), "utf-8")
    except UnicodeDecodeError:
        pass
    if declared is not None:
        try:
            return EncodedText(_text(data, declared), declared)
        except LookupError:
            pass  # no encoding that is known
    found = from_bytes(data[:_SAMPLE]).best()
    if found is None:
        raise DamagedDocumentError("the document must be text, but its encoding is not known")
    return EncodedText(_text(data, found.encoding), found.encoding)


def _text(data: bytes, encoding: str) -> str:
    try:
        return _checked(data.decode(encoding))
    except UnicodeDecodeError:
        raise DamagedDocumentError(
            f"the document must be text in {encoding[:20]}, but is not"
        ) from None


def _checked(text: str) -> str:
    controls = sum(character < " " and character not in "\t\n\r\f\v\x1b" for character in text)
    if "\0" in text or controls > _MOST_CONTROLS * len(text):
        raise DamagedDocumentError("the document must be text, but has control characters")
    return text
