"""The files of a zip archive: sizes have bounds, and nothing is ever unpacked to a disk."""

from __future__ import annotations

import hashlib
import lzma
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from model.checkpoints.importers.source_files import MAX_TEXT_BYTES, SourceFiles
from model.errors import CheckpointError

__all__ = ["ARCHIVE_ERRORS", "ArchiveFiles", "check_archive"]

_MOST_MEMBERS = 10_000
ARCHIVE_ERRORS = (
    OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
    RuntimeError,  # of what is encrypted; NotImplementedError, of unknown compression, is one
)  # fmt: skip
"""What zipfile raises for damaged archives, and those that it cannot read."""
_MOST_GROWTH = 16
"""How many times larger than itself a member may be inside: weights hardly shrink."""


def check_archive(path: Path, archive: zipfile.ZipFile, most_members: int = _MOST_MEMBERS) -> None:
    """Whether an archive has only files and folders, each once, all of them within it.

    Args:
        path: what errors call it.
        most_members: files and folders that it may have.

    Raises:
        CheckpointError: it is not so.
    """
    members = archive.infolist()
    if len(members) > most_members:
        raise CheckpointError(
            f"{path} must have at most {most_members} files, but has {len(members)}"
        )
    seen = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not name.isprintable() or "\\" in name or ".." in parts or name.startswith("/"):
            raise CheckpointError(f"{path} must have names within it, but has {name[:100]!r}")
        if name in seen:
            raise CheckpointError(f"{path} must have each file once, but has {name[:100]!r} again")
        seen.add(name)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CheckpointError(
                f"{path} must have plain files and folders, but {name[:100]!r} is neither"
            )


class ArchiveFiles(SourceFiles):
    """Files of one folder of an archive, which must have been checked: see `SourceFiles`.

    Args:
        path: of the archive.
        archive: it, opened.
        folder: within it, with a slash at its end.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(path)
        self._archive = archive
        self._folder = folder

    def names(self) -> list[str]:
        """See `SourceFiles`."""
        inner = (name.removeprefix(self._folder) for name in self._archive.namelist()
                 if name.startswith(self._folder))  # fmt: skip
        return sorted({name.partition("/")[0] for name in inner} - {""})

    def read(self, name: str, most: int = MAX_TEXT_BYTES) -> bytes:
        """See `SourceFiles`; a `.gz` is given as it is."""
        path = self.directory / f"{self._folder}{name}"
        try:
            member = self._archive.getinfo(f"{self._folder}{name}")
        except KeyError:
            raise CheckpointError(f"{self.directory} must have {name}, but has not") from None
        if member.file_size > min(most, _MOST_GROWTH * member.compress_size + 2**16):
            raise CheckpointError(
                f"{path} must have at most {most} bytes, and {_MOST_GROWTH} times as many as in "
                f"the archive ({member.compress_size}), but has {member.file_size}"
            )
        try:
            content = self._archive.read(member)
        except ARCHIVE_ERRORS as error:
            raise CheckpointError(f"cannot read {path}: {str(error)[:200]}") from error
        self.checksums[name] = hashlib.sha256(content).hexdigest()
        return content

    def begin(self, name: str, size: int = 8) -> bytes:
        """See `SourceFiles`."""
        return self.read(name)[:size]
