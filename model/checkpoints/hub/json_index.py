"""Lists of models in JSON, as others publish them."""

from __future__ import annotations

import json
from typing import Any

from model.checkpoints.hub.download import Downloader, shown
from model.errors import DownloadError

__all__ = ["language_pair", "read_index"]

_MOST_BYTES = 32 * 2**20


def read_index(
    downloader: Downloader, address: str, kind: type[dict[Any, Any]] | type[list[Any]]
) -> Any:
    """The content of a JSON file, which must be of a kind.

    Raises:
        DownloadError: it cannot be downloaded, or is something else.
    """
    path = downloader.file(address, "index.json", most=_MOST_BYTES)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DownloadError(f"{shown(address)} must be JSON, but is not: {error}") from None
    if not isinstance(content, kind):
        raise DownloadError(
            f"{shown(address)} must be a JSON {kind.__name__}, but is a {type(content).__name__}"
        )
    return content


def language_pair(scheme: str, text: str) -> tuple[str, str]:
    """The languages of "en-fr".

    Raises:
        DownloadError: it has another form.
    """
    source, _, target = text.partition("-")
    if not source or not target or "-" in target:
        raise DownloadError(
            f"{scheme} must be followed by two languages, as in {scheme}en-fr, but is by {text!r}"
        )
    return source, target
