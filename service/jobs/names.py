"""Names of documents' files, and of their contents in the store."""

from __future__ import annotations

import re
import time
import unicodedata
import uuid
from pathlib import PurePosixPath

__all__ = ["blob_age", "new_blob", "result_name", "safe_name"]

_BLOB = re.compile(r"document-([0-9a-f]{8,12})-[0-9a-f]{32}")
_MOST_BYTES = 200
_UNSAFE = frozenset('<>:"|?*')


def safe_name(given: str | None, extension: str) -> str:
    """The last part of a path, without what some system does not have in names of files.

    Args:
        given: as a client says it.
        extension: that the name has where it has none, with its dot.
    """
    last = unicodedata.normalize("NFC", given or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(
        "_" if letter in _UNSAFE else letter
        for letter in last
        if unicodedata.category(letter)[0] != "C" or letter == "\u200d"
    )
    path = PurePosixPath(kept.strip(" .") or "document")
    suffix = path.suffix if 1 < len(path.suffix) <= 16 else ""
    stem = path.name.removesuffix(suffix).strip(" .") or "document"
    suffix = suffix or extension
    room = _MOST_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix


def result_name(name: str, target: str) -> str:
    """The name of a translated file: report.docx becomes report.de.docx."""
    path = PurePosixPath(name)
    return f"{path.stem}.{target}{path.suffix}"


def new_blob() -> str:
    """A name for a content, which says when it was made."""
    return f"document-{int(time.time()):08x}-{uuid.uuid4().hex}"


def blob_age(name: str) -> float:
    """Seconds since a name was made; less than 0 for another's."""
    found = _BLOB.fullmatch(name)
    return time.time() - int(found[1], 16) if found else -1.0
