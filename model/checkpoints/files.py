"""The files of a model directory: their names, and how each is opened.

A directory may come from anybody, so what it holds need not be what it is called.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from model.errors import CheckpointError
from model.text.tokenizer_config import TOKENIZER_FILES

__all__ = [
    "CARD_FILE",
    "CHECKSUM_FILE",
    "CONFIG_FILE",
    "SHORTLIST_FILE",
    "WEIGHTS_SUFFIX",
    "open_file",
    "read_file",
]

CONFIG_FILE = "config.json"
CHECKSUM_FILE = "SHA256SUMS"
CARD_FILE = "MODEL_CARD.md"
SHORTLIST_FILE = "shortlist.safetensors"
WEIGHTS_SUFFIX = ".safetensors"

_MOST_BYTES = {
    CONFIG_FILE: 2**20,
    CHECKSUM_FILE: 2**20,
    SHORTLIST_FILE: 64 * 2**20,
    **dict.fromkeys(TOKENIZER_FILES, 32 * 2**20),
}
"""Largest sizes of the files that are read at once. The largest vocabularies in use, of a million
pieces, have 18 MiB; shortlists have 5 MiB."""

# None of them blocks: neither on a FIFO without a writer nor on a terminal.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_file(directory: Path, name: str) -> BufferedReader:
    """Opens a regular file of a model directory, without waiting for anything.

    A link must lead to a file in the directory or, in a cache of the Hugging Face Hub, among the
    `blobs` of the same repository or of the cache.

    Raises:
        CheckpointError: there is no such file, or it is no regular file, or outside, or unreadable.
    """
    path = directory / name
    try:
        place = path.resolve(strict=True)
        if not any(map(place.is_relative_to, _permitted(directory.resolve()))):
            raise CheckpointError(
                f"{path} must be in its directory, but is a link out of it, to {place}"
            )
        descriptor = os.open(place, _FLAGS)
    except FileNotFoundError:
        raise CheckpointError(f"{directory} must be a model directory, but has no {name}") from None
    except (OSError, RuntimeError, ValueError) as error:  # the last two: links in a circle, a NUL
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{path} must be a regular file, but is none")
    return os.fdopen(descriptor, "rb")


def read_file(directory: Path, name: str) -> bytes:
    """The content of one of the files that are read at once: all but the weights.

    Raises:
        CheckpointError: as `open_file`, or the file is larger than any that is of use.
    """
    most = _MOST_BYTES[name]
    with open_file(directory, name) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise CheckpointError(f"cannot read {directory / name}: {error.strerror}") from error
    if len(content) > most:
        raise CheckpointError(f"{directory / name} must have at most {most} bytes, but has more")
    return content


def _permitted(directory: Path) -> list[Path]:
    """Folders in which the files of a resolved directory may be.

    The Hub's client keeps models--OWNER--NAME/snapshots/COMMIT/FILE, links to files in
    models--OWNER--NAME/blobs, which may be links to files in blobs, shared by all models.
    """
    repositories = [
        parent.parent
        for parent in directory.parents
        if parent.name == "snapshots" and parent.parent.name.startswith("models--")
    ]
    blobs = [place / "blobs" for each in repositories for place in (each, each.parent)]
    return [directory, *blobs]
