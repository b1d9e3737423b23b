"""Blobs: whole or not there, in a folder and where fsspec writes to."""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from pathlib import Path

import pytest

from service.errors import StoreFullError, StoreUnavailableError
from service.store.blobs import Blobs


@pytest.fixture(params=["folder", "file", "remote"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    folder = tmp_path / "blobs"
    return Blobs(
        {
            "folder": str(folder),
            "file": f"file://{folder}",
            "remote": f"memory://{uuid.uuid4().hex}/blobs",
        }[request.param]
    )


async def test_contents_come_back(blobs: Blobs) -> None:
    assert await blobs.read("a") is None
    assert await blobs.names() == []
    await blobs.write("b", bytes(range(256)) * 1000)
    await blobs.write("a", b"")
    await blobs.write("a", b"other")
    assert await blobs.read("b") == bytes(range(256)) * 1000
    assert await blobs.read("a") == b"other"
    assert await blobs.names() == ["a", "b"]
    await blobs.delete("a")
    await blobs.delete("a")
    assert await blobs.names() == ["b"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", "A", "a" * 65, "-a", "a\0", "a.new"])
async def test_no_name_leads_elsewhere(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a blob must be"):
        await blobs.write(name, b"x")
    with pytest.raises(ValueError, match="the name of a blob must be"):
        await blobs.read(name)


async def test_files_are_closed_to_others(tmp_path: Path) -> None:
    await Blobs(str(tmp_path / "blobs")).write("a", b"x")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "blobs" / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreUnavailableError)]
)
async def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.write("a", b"before")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        await blobs.write("a", b"after")
    assert os.listdir(tmp_path) == ["a"]
    assert await blobs.read("a") == b"before"


async def test_what_a_killed_writer_has_left_is_removed_in_time(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path))
    await blobs.write("a", b"x")
    for name, age in (("old.new", 7200), ("young.new", 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert await blobs.names() == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["a", "young.new"]


async def test_what_is_wrong_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, sync = Blobs(str(tmp_path)), os.fsync
    monkeypatch.setattr("service.store.availability._CALM_SECONDS", 0.0)

    def fail(descriptor: int) -> None:
        raise OSError(
            errno.EROFS, os.strerror(errno.EROFS), os.readlink(f"/proc/self/fd/{descriptor}")
        )

    monkeypatch.setattr(os, "fsync", fail)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await blobs.write("a", b"x")
        await blobs.names()
    told = f"the store of blobs {tmp_path}"
    # Of what cannot be written it is no sign that it can be read.
    assert caplog.messages == [f"{told} cannot be used: OSError: Read-only file system"]
    monkeypatch.setattr(os, "fsync", sync)
    for _ in range(3):
        await blobs.write("a", b"x")
    assert caplog.messages[1:] == [f"{told} can be used again"]
