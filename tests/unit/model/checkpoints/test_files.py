"""Files that are no files, or not there where they seem to be, are refused at once."""

import os
from pathlib import Path

import pytest

from model.checkpoints.files import open_file, read_file
from model.errors import CheckpointError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def read(directory: Path) -> bytes:
    with open_file(directory, "config.json") as file:
        return file.read()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "must be a regular file"),
        (os.mkdir, "must be a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link out of it, to /dev/zero"),
        (lambda path: path.symlink_to("../config.json"), "is a link out of it"),
        (lambda path: path.symlink_to("config.json"), "cannot read"),
        (lambda path: path.symlink_to("nowhere"), "has no config.json"),
        (lambda path: None, "has no config.json"),
    ],
    ids=["fifo", "folder", "device", "outside", "circle", "dangling", "absent"],
)
def test_what_is_no_file_of_the_directory_is_refused(directory: Path, make, message: str) -> None:
    (directory.parent / "config.json").write_text("{}")
    make(directory / "config.json")
    with pytest.raises(CheckpointError, match=message):
        open_file(directory, "config.json")


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"cannot read a\\x00b/config.json"):
        open_file(Path("a\0b"), "config.json")


def test_links_within_the_directory_are_followed_as_a_mounted_volume_has_them(
    directory: Path,
) -> None:
    (directory / "..of_today").mkdir()
    (directory / "..of_today" / "config.json").write_text("today's")
    (directory / "..data").symlink_to("..of_today")
    (directory / "config.json").symlink_to("..data/config.json")
    (directory.parent / "latest").symlink_to(directory)
    assert read(directory) == read(directory.parent / "latest") == b"today's"


def test_links_to_the_blobs_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    repository = tmp_path / "models--anna--en-de"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "e3b0").write_text("from the Hub")
    (snapshot / "config.json").symlink_to("../../blobs/e3b0")
    assert read(snapshot) == b"from the Hub"
    (repository / "blobs" / "e3b0").unlink()
    (repository / "blobs" / "e3b0").symlink_to("/etc/passwd")
    with pytest.raises(CheckpointError, match="is a link out of it, to /etc/passwd"):
        open_file(snapshot, "config.json")


def test_blobs_that_models_of_the_hubs_cache_share_are_followed(tmp_path: Path) -> None:
    repository = tmp_path / "models--anna--en-de"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for place in (repository / "blobs", tmp_path / "blobs" / "9f"):
        place.mkdir(parents=True)
    (tmp_path / "blobs" / "9f" / "9f86").write_text("shared")
    (repository / "blobs" / "e3b0").symlink_to("../../blobs/9f/9f86")
    (snapshot / "config.json").symlink_to("../../blobs/e3b0")
    assert read(snapshot) == b"shared"


@pytest.mark.parametrize("name", ["config.json", "SHA256SUMS", "tokenizer.model"])
def test_no_more_is_read_than_is_of_use(directory: Path, name: str) -> None:
    with (directory / name).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match=r"must have at most \d+ bytes, but has more"):
        read_file(directory, name)
