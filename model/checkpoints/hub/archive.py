"""Zip archives of models, unpacked: nothing outside their folder, nothing beyond a size."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from model.checkpoints.importers.archive_files import ARCHIVE_ERRORS, check_archive
from model.checkpoints.importers.source_files import MAX_MODEL_BYTES
from model.errors import CheckpointError

__all__ = ["unpacked"]

_MOST_GROWTH = 16
"""How many times larger than itself an archive may be inside: weights hardly shrink."""


def unpacked(path: Path) -> Path:
    """The folder with an archive's files, beside it; that one folder, if the archive has no more.

    Raises:
        CheckpointError: it cannot be unpacked, or must not be.
    """
    folder = path.with_name(f"{path.name}-unpacked")
    working = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=path.parent))
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive)
            size = sum(member.file_size for member in archive.infolist())
            most = min(MAX_MODEL_BYTES, _MOST_GROWTH * path.stat().st_size + 2**20)
            if size > most:
                raise CheckpointError(
                    f"{path} must have at most {most} bytes inside, but has {size}"
                )
            archive.extractall(working)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(working, folder)
    except ARCHIVE_ERRORS as error:
        raise CheckpointError(f"cannot unpack {path}: {error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return _only_folder(folder)


def _only_folder(folder: Path) -> Path:
    inner = list(folder.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder
