"""Model directories that were changed by somebody who knows of their checksums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.checkpoints.checksums import write_checksums

__all__ = ["renew_checksums", "rewrite_manifest"]


def rewrite_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edits config.json and makes the checksums fit again."""
    path = directory / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    renew_checksums(directory)


def renew_checksums(directory: Path) -> None:
    """Makes SHA256SUMS fit to what is there."""
    (directory / "SHA256SUMS").unlink()
    write_checksums(directory)
