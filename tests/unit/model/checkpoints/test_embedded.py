"""Models that come with the project are known by name, all others by path."""

from pathlib import Path

import pytest

from model.checkpoints.checksums import verify_checksums
from model.checkpoints.embedded import DEFAULT, EMBEDDED, model_directory
from model.checkpoints.manifest import read_manifest


@pytest.mark.parametrize("name", EMBEDDED)
def test_each_is_there_and_translates_what_its_name_says(name: str) -> None:
    directory = model_directory(name)
    verify_checksums(directory)
    metadata = read_manifest(directory).metadata
    assert metadata.pairs == (tuple(name.split("-")),)
    assert metadata.name == f"polyhead-{name}"
    assert (directory / "MODEL_CARD.md").exists()


def test_all_that_is_shipped_has_a_name() -> None:
    assert set(EMBEDDED.values()) == {path for path in DEFAULT.parent.iterdir() if path.is_dir()}


def test_a_folder_of_the_same_name_is_given_as_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert model_directory("en-de") == EMBEDDED["en-de"]
    assert model_directory("./en-de") == Path("en-de")
    assert model_directory("~/en-de") == Path("/home/anna/en-de")
