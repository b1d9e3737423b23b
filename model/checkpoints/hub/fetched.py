"""What fetching makes of a name: files on this machine, and where they are from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fetched", "cache_folder", "is_offline"]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A model of another project, on this machine."""

    path: Path
    """A folder, or a file of it that an importer takes."""
    source: str | None = None
    """What was fetched; None for what was here already."""
    revision: str | None = None
    """Which version that was, as its place tells versions apart."""
    name: str | None = None
    """What the model is called there; None: what an importer calls it."""
    source_languages: tuple[str, ...] = ()
    target_languages: tuple[str, ...] = ()
    """As far as its place says them."""


def cache_folder() -> Path:
    """Where downloads are kept: polyhead in XDG_CACHE_HOME, which is ~/.cache where not set."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given if os.path.isabs(given) else os.path.expanduser("~/.cache")) / "polyhead"


def is_offline() -> bool:
    """Whether nothing may be downloaded: POLYHEAD_OFFLINE or HF_HUB_OFFLINE is set, but not 0."""
    names = ("POLYHEAD_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").lower() not in ("", "0", "false", "no") for name in names)
