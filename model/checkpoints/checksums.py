"""SHA256SUMS of a model directory, in the form of `sha256sum`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from model.checkpoints.files import (
    CHECKSUM_FILE,
    CONFIG_FILE,
    SHORTLIST_FILE,
    WEIGHTS_SUFFIX,
    open_file,
    read_file,
)
from model.errors import CheckpointError
from model.text.tokenizer_config import PIECES_FILE, PIECES_FILES, TOKENIZER_FILES

__all__ = ["fingerprint", "read_checksums", "verify_checksums", "write_checksums"]

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^\x00-\x1f\x7f]{1,255})")

_SMALL_FILES = {CONFIG_FILE, SHORTLIST_FILE, *TOKENIZER_FILES}


def fingerprint(directory: Path) -> str:
    """The SHA-256 of SHA256SUMS: what the whole directory holds.

    Raises:
        CheckpointError: there is none.
    """
    return hashlib.sha256(read_file(directory, CHECKSUM_FILE)).hexdigest()


def read_checksums(directory: Path) -> dict[str, str]:
    """Reads SHA256SUMS: the digest of each file of the model, by its name.

    Raises:
        CheckpointError: it is missing, malformed, or lists other files than those of a model.
    """
    path = directory / CHECKSUM_FILE
    try:
        lines = read_file(directory, CHECKSUM_FILE).decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} must be UTF-8, but is not: {error}") from error
    sums: dict[str, str] = {}
    for line in lines:
        if (match := _LINE.fullmatch(line)) is None:
            raise CheckpointError(
                f"{path} must have lines of a SHA-256 in small letters, two spaces and a file "
                f"name, but has {line[:200]!r}"
            )
        name = match["name"]
        if name in sums:
            raise CheckpointError(f"{path} must list each file once, but lists {name} twice")
        if not _belongs(name):
            raise CheckpointError(
                f"{path} must list {CONFIG_FILE}, {PIECES_FILE} or other files of a tokenizer, and "
                f"plain names of {WEIGHTS_SUFFIX} files, but lists {name!r}"
            )
        sums[name] = match["digest"]
    pieces = PIECES_FILES if PIECES_FILES[0] in sums else (PIECES_FILE,)
    for name in (CONFIG_FILE, *pieces):
        if name not in sums:
            raise CheckpointError(f"{path} must list {name}, but does not")
    if not any(name.endswith(WEIGHTS_SUFFIX) for name in sums.keys() - {SHORTLIST_FILE}):
        raise CheckpointError(f"{path} must list a {WEIGHTS_SUFFIX} file, but lists none")
    return sums


def verify_checksums(directory: Path) -> None:
    """Compares every file that SHA256SUMS lists with its digest there.

    Raises:
        CheckpointError: a file is missing, or the files that differ.
    """
    different = []
    for name, expected in read_checksums(directory).items():
        if (found := _sha256(directory, name)) != expected:
            different.append(f"{name} must have SHA-256 {expected[:12]}…, but has {found[:12]}…")
    if different:
        raise CheckpointError(f"the model in {directory} is damaged: {'; '.join(different)}")


def write_checksums(directory: Path) -> None:
    """Writes SHA256SUMS for all files that are in `directory`."""
    names = sorted(path.name for path in directory.iterdir())
    lines = [f"{_sha256(directory, name)}  {name}\n" for name in names]
    (directory / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")


def _belongs(name: str) -> bool:
    if name in _SMALL_FILES:
        return True
    return name.endswith(WEIGHTS_SUFFIX) and Path(name).name == name


def _sha256(directory: Path, name: str) -> str:
    if name in _SMALL_FILES:  # their size has a limit, not only their content
        return hashlib.sha256(read_file(directory, name)).hexdigest()
    with open_file(directory, name) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"cannot read {directory / name}: {error.strerror}") from error
