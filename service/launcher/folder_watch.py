"""Whether a folder can still be written to, told once when that changes."""

from __future__ import annotations

import logging
from pathlib import Path

__all__ = ["FolderWatch"]

_PROBE = "probe"
_PROBE_BYTES = 4096
"""A full disk takes an empty file."""

LOGGER = logging.getLogger("polyhead.launcher")


class FolderWatch:
    """Logs that Ray's folder is full or read-only, and why; then that it can be used again.

    Args:
        folder: where Ray and HAProxy keep what a process needs to start: logs, configurations.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: str | None = None

    def look(self) -> None:
        """Writes a small file, and removes it."""
        reason = self._problem()
        if reason == self._told:
            return
        self._told = reason
        if reason is None:
            LOGGER.warning("the folder for temporary files %s can be used again", self._folder)
        else:
            LOGGER.warning(
                "the folder for temporary files %s cannot be used: %s; until it can, a process "
                "that ends may not be replaced",
                self._folder,
                reason,
            )

    def _problem(self) -> str | None:
        probe = self._folder / _PROBE
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
            probe.unlink()
        except OSError as error:
            return error.strerror or type(error).__name__
        return None
