"""The user's models: a folder, plain names, and nothing outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.checkpoints.embedded import EMBEDDED, model_directory
from model.checkpoints.installed import (
    installed_model,
    installed_models,
    models_folder,
    remove_model,
    require_model_name,
)
from model.errors import InvalidRequestError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYHEAD_MODELS_FOLDER", str(tmp_path / "models"))
    return tmp_path / "models"


def _add(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").touch()
    return folder / name


def test_they_are_where_the_user_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYHEAD_MODELS_FOLDER")
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert models_folder() == Path("/home/anna/.local/share/polyhead/models")
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")  # which the specification ignores
    assert models_folder() == Path("/home/anna/.local/share/polyhead/models")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert models_folder() == Path("/data/polyhead/models")
    monkeypatch.setenv("POLYHEAD_MODELS_FOLDER", "~/models")
    assert models_folder() == Path("/home/anna/models")


def test_they_are_known_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed_models() == []
    added = [_add(folder, name) for name in ("b", "a", "en-de")]
    (folder / ".import-x").mkdir()
    (folder / "empty").mkdir()
    assert installed_models() == sorted(added)
    assert model_directory("a") == folder / "a"
    assert model_directory("en-de") == EMBEDDED["en-de"]
    assert model_directory("empty") == Path("empty")
    assert model_directory("./a") == model_directory(Path("a")) == Path("a")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".a", "-a", "ä", "a" * 101, "a\n"])
def test_names_are_plain(folder: Path, name: str) -> None:
    _add(folder.parent, "x")
    with pytest.raises(InvalidRequestError, match="the name of a model must be"):
        require_model_name(name)
    assert installed_model(name) is None


def test_what_is_removed_is_gone(folder: Path) -> None:
    remove_model(_add(folder, "a"))
    assert list(folder.iterdir()) == []


def test_of_a_link_the_link_alone_is_removed(folder: Path, tmp_path: Path) -> None:
    real = _add(tmp_path, "real")
    folder.mkdir()
    (folder / "a").symlink_to(real)
    remove_model(folder / "a")
    assert list(folder.iterdir()) == []
    assert (real / "config.json").exists()
