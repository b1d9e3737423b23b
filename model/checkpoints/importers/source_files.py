"""The files that an import reads: sizes have bounds, and what was read is recorded."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path

from model.checkpoints.files import open_file
from model.errors import CheckpointError

__all__ = ["MAX_MODEL_BYTES", "MAX_TEXT_BYTES", "SourceFiles"]

MAX_MODEL_BYTES = 16 * 2**30
"""Largest file of weights: four times a model of a thousand million parameters in float32."""
MAX_TEXT_BYTES = 64 * 2**20
"""Largest file of anything else: options, vocabularies, lexicons."""

_MOST_GROWTH = 16
"""How many times larger than itself a compressed file may be inside. Weights and vocabularies
shrink to a half or a third; what shrinks more is made to fill a memory."""


class SourceFiles:
    """Files of one folder, each with the SHA-256 of its bytes once it has been read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checksums: dict[str, str] = {}
        """Names of the files that have been read, and the hexadecimal SHA-256 of each."""

    def names(self) -> list[str]:
        """Names of what lies in the folder, sorted.

        Raises:
            CheckpointError: it cannot be listed.
        """
        try:
            return sorted(os.listdir(self.directory))
        except OSError as error:
            raise CheckpointError(f"cannot read {self.directory}: {error.strerror}") from error

    def read(self, name: str, most: int = MAX_TEXT_BYTES) -> bytes:
        """The content of a file; of a `.gz`, what is compressed in it.

        Raises:
            CheckpointError: it cannot be read, is larger than `most`, or grows beyond measure.
        """
        path = self.directory / name
        with open_file(self.directory, name) as file:
            try:
                if (size := os.fstat(file.fileno()).st_size) > most:
                    raise CheckpointError(f"{path} must have at most {most} bytes, but has {size}")
                content = file.read(size)
            except MemoryError:
                raise CheckpointError(f"{path} must fit into memory: {size} bytes") from None
            except OSError as error:
                raise CheckpointError(f"cannot read {path}: {error}") from error
        self.checksums[name] = hashlib.sha256(content).hexdigest()
        return _decompressed(path, content, most) if name.endswith(".gz") else content

    def record(self, name: str, most: int = MAX_MODEL_BYTES) -> int:
        """Takes the checksum of a file that is too large to be held, and returns its bytes.

        Raises:
            CheckpointError: it cannot be read, or is larger than `most`.
        """
        path = self.directory / name
        with open_file(self.directory, name) as file:
            try:
                if (size := os.fstat(file.fileno()).st_size) > most:
                    raise CheckpointError(f"{path} must have at most {most} bytes, but has {size}")
                self.checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise CheckpointError(f"cannot read {path}: {error}") from error
        return size

    def begin(self, name: str, size: int = 8) -> bytes:
        """The first bytes of a file, decompressed; fewer if it has no more, none if it is broken.

        Raises:
            CheckpointError: it cannot be opened.
        """
        with open_file(self.directory, name) as file:
            try:
                if name.endswith(".gz"):
                    with gzip.open(file) as inner:
                        return inner.read(size)
                return file.read(size)
            except (OSError, EOFError, zlib.error):
                return b""


def _decompressed(path: Path, content: bytes, most: int) -> bytes:
    most = min(most, _MOST_GROWTH * len(content) + 2**16)
    reader = zlib.decompressobj(wbits=31)  # gzip's form
    try:
        inner = reader.decompress(content, most + 1)
    except (zlib.error, MemoryError) as error:
        raise CheckpointError(f"cannot decompress {path}: {error}") from error
    if len(inner) > most:
        raise CheckpointError(
            f"{path} must have at most {most} bytes when decompressed, but has more"
        )
    if not reader.eof or reader.unused_data:
        raise CheckpointError(f"{path} must be one whole gzip file, but is not")
    return inner
