"""Zip archives of models, unpacked: nothing outside their folder, nothing beyond a size."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

from model.checkpoints.importers.archive_files import ARCHIVE_ERRORS, check_archive
from model.checkpoints.importers.source_files import MAX_MODEL_BYTES
from model.errors import CheckpointError

__all__ = ["unpacked"]

_MOST_GROWTH = 16
"""How many times larger than itself an archive may be inside: weights hardly shrink."""


def unpacked(path: Path) -> Path:
    """The folder with an archive's files, beside it; that one folder, if the archive has no more.

    It is named after the archive's content and made at once, so nobody finds a part of it.

    Raises:
        CheckpointError: it cannot be unpacked, or must not be.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            folder = path.with_name(f"{path.name}-{digest[:32]}")
            if not folder.is_dir():
                _unpack(path, file, folder)
    except ARCHIVE_ERRORS as error:
        raise CheckpointError(f"cannot unpack {path}: {error}") from error
    return _only_folder(folder)


def _unpack(path: Path, file: BinaryIO, folder: Path) -> None:
    working = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=path.parent))
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive(path, archive)
            size = sum(member.file_size for member in archive.infolist())
            most = min(MAX_MODEL_BYTES, _MOST_GROWTH * os.fstat(file.fileno()).st_size + 2**20)
            if size > most:
                raise CheckpointError(
                    f"{path} must have at most {most} bytes inside, but has {size}"
                )
            archive.extractall(working)
        try:
            os.replace(working, folder)
        except OSError:
            if not folder.is_dir():  # or another process was quicker
                raise
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _only_folder(folder: Path) -> Path:
    inner = list(folder.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder
