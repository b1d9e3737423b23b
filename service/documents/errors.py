"""What is wrong with a document, or with what is asked of it.

DocumentError (an InvalidRequestError: whoever sent it must change it)
├── UnsupportedDocumentError   it is of a format that is not known
├── DamagedDocumentError       it is not what its format says
└── DocumentTooLargeError      it is beyond a limit
"""

from __future__ import annotations

from model.errors import InvalidRequestError

__all__ = [
    "DamagedDocumentError",
    "DocumentError",
    "DocumentTooLargeError",
    "UnsupportedDocumentError",
]


class DocumentError(InvalidRequestError):
    """A document cannot be translated; the message says what must be and what was, and no text."""


class UnsupportedDocumentError(DocumentError):
    """A document's format is not known, or is not told."""


class DamagedDocumentError(DocumentError):
    """A document is not what its format says, or is encrypted."""


class DocumentTooLargeError(DocumentError):
    """A document is beyond a limit."""
