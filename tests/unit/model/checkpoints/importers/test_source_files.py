"""The files that an import reads."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoints.importers.source_files import SourceFiles
from model.errors import CheckpointError
from tests.unit.model.checkpoints.importers.damage import damaged


def test_what_is_read_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").write_bytes(b"other")
    files = SourceFiles(tmp_path)

    assert files.read("a") == b"content"
    assert files.begin("b", 3) == b"oth"
    assert files.names() == ["a", "b"]
    assert files.checksums == {"a": hashlib.sha256(b"content").hexdigest()}


def test_a_compressed_file_is_read_and_its_own_bytes_are_recorded(tmp_path: Path) -> None:
    compressed = gzip.compress(b"content" * 10)
    (tmp_path / "a.gz").write_bytes(compressed)
    files = SourceFiles(tmp_path)

    assert files.read("a.gz") == b"content" * 10
    assert files.begin("a.gz", 3) == b"con"
    assert files.checksums == {"a.gz": hashlib.sha256(compressed).hexdigest()}


def test_a_file_that_grows_beyond_measure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(2**24)))

    with pytest.raises(CheckpointError, match="when decompressed"):
        SourceFiles(tmp_path).read("a.gz")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))

    with pytest.raises(CheckpointError, match="at most 10 bytes, but has 11"):
        SourceFiles(tmp_path).read("a", 10)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")

    for name in ("pipe", "link", "none", ""):
        with pytest.raises(CheckpointError):
            SourceFiles(tmp_path).read(name)
    with pytest.raises(CheckpointError):
        SourceFiles(tmp_path / "none").names()


@given(st.data())
def test_a_damaged_compressed_file_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = gzip.compress(bytes(range(256)) * 4, mtime=0)
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.gz").write_bytes(data.draw(damaged(whole, head=32)))
    files = SourceFiles(folder)
    files.begin("a.gz")
    try:
        content = files.read("a.gz")
    except CheckpointError:
        return
    assert len(content) <= 16 * len(whole) + 2**16 + 16 * 256
