"""Archives, unpacked by several processes at once and again."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from model.checkpoints.hub.archive import unpacked


def _write(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("opus/vocab.yml", text)
        archive.writestr("opus/model.npz", text)
    return path


def test_who_is_quicker_wins_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "opus.zip", "one")
    extract = zipfile.ZipFile.extractall
    others: list[Path] = []

    def slowly(archive: zipfile.ZipFile, *rest: Any) -> None:
        extract(archive, *rest)
        monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
        others.append(unpacked(path))

    monkeypatch.setattr(zipfile.ZipFile, "extractall", slowly)
    found = unpacked(path)

    assert others == [found]
    assert sorted(each.name for each in found.iterdir()) == ["model.npz", "vocab.yml"]
    assert len(list(tmp_path.iterdir())) == 2


def test_another_archive_of_the_name_leaves_what_is_being_read(tmp_path: Path) -> None:
    first = unpacked(_write(tmp_path / "opus.zip", "one"))
    kept = (first / "model.npz").stat().st_ino
    second = unpacked(_write(tmp_path / "opus.zip", "two"))

    assert (first / "model.npz").read_text() == "one"
    assert (second / "model.npz").read_text() == "two"
    assert unpacked(_write(tmp_path / "opus.zip", "two")) == second
    assert (first / "model.npz").stat().st_ino == kept
