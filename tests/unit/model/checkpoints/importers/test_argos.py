"""Argos Translate's packages become model directories, or are refused."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from model.checkpoints.checkpoint import load_checkpoint
from model.checkpoints.importers.argos import is_argos
from model.checkpoints.importers.registry import import_model, models_in
from model.errors import CheckpointError, ImportRefusedError
from model.text.languages import Pair
from tests.unit.model.checkpoints.importers.ctranslate2_writing import (
    NAMES,
    PIECES,
    small_model,
    write_folder,
)

_METADATA = {"package_version": "1.9", "argos_version": "1.9", "from_code": "en", "to_code": "de"}


def _package(folder: Path, *, pieces: str = "sentencepiece.model", **metadata: Any) -> Path:
    write_folder(
        folder / "model", small_model(len(NAMES), len(NAMES)), pieces=None,
        config={"add_source_eos": False},
    )  # fmt: skip
    (folder / pieces).write_bytes(PIECES.files["tokenizer.model"])
    (folder / "metadata.json").write_text(json.dumps(_METADATA | metadata))
    return folder


def _zipped(package: Path, to: Path, **others: bytes) -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            archive.write(path, f"translate-en_de/{path.relative_to(package)}")
        for name, content in others.items():
            archive.writestr(name, content)
    return to


def test_an_archive_is_what_its_folder_is(tmp_path: Path) -> None:
    folder = _package(tmp_path / "en_de")
    archive = _zipped(folder, tmp_path / "translate-en_de-1_9.argosmodel")
    assert is_argos(folder)
    assert is_argos(archive)

    models = []
    for source, name in ((folder, "first"), (archive, "second")):
        report = import_model(source, tmp_path / name)
        models.append(load_checkpoint(tmp_path / name))
        assert any("Stanza" in note for note in report.notes)
    first, second = models

    assert first.metadata.name == "argos-en-de"
    assert first.metadata.pairs == (Pair("en", "de"),)
    assert first.metadata.origin is not None
    assert second.metadata.origin is not None
    assert first.metadata.origin.revision == "1.9"
    assert first.metadata.origin.sha256 == second.metadata.origin.sha256
    assert "model/model.bin" in first.metadata.origin.sha256
    assert first.config == second.config
    assert (first.generation.beam_size, first.generation.length_penalty) == (4, 0.2)
    assert first.tokenizer.encode_source("the old man", Pair("en", "de")) == tuple(
        PIECES.tokenize("the old man")
    )


def test_a_target_prefix_is_forced(tmp_path: Path) -> None:
    import_model(_package(tmp_path / "en_de", target_prefix=NAMES[9]), tmp_path / "model")

    tokenizer = load_checkpoint(tmp_path / "model").tokenizer

    assert tokenizer.target_prefix(Pair("en", "de")) == (9,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pieces": "bpe.model"}, "merges of subword-nmt"),
        ({"pieces": "other.model"}, "must have sentencepiece.model"),
        ({"type": "sbd"}, "of the type 'sbd'"),
        ({"from_code": None}, "do not say the source language"),
        ({"target_prefix": "__xx__"}, "must have the token '__xx__'"),
    ],
)
def test_other_packages_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    package = _package(tmp_path / "en_de", **options)

    with pytest.raises(ImportRefusedError, match=message):
        import_model(package, tmp_path / "model")


def test_all_packages_of_a_folder(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    _package(packages / "en_de")
    _package(packages / "de_fr", from_code="de", to_code="fr", pieces="bpe.model")
    _zipped(_package(tmp_path / "other", to_code="pt"), packages / "en_pt.argosmodel")
    (packages / "notes.txt").write_text("no package")

    found = models_in(packages)
    reports, errors = [], []
    for package in found:
        try:
            reports.append(import_model(package, tmp_path / "models" / package.stem))
        except CheckpointError as error:
            errors.append(error)

    assert [each.directory.name for each in reports] == ["en_de", "en_pt"]
    assert [each.metadata.target_languages for each in reports] == [("de",), ("pt",)]
    assert len(errors) == 1
    assert "subword-nmt" in str(errors[0])


@pytest.mark.parametrize(
    "name", ["../outside", "translate-en_de/../../outside", "/etc/outside", "a\\..\\outside"]
)
def test_names_beyond_the_archive_are_refused(name: str, tmp_path: Path) -> None:
    archive = _zipped(_package(tmp_path / "en_de"), tmp_path / "a.argosmodel", **{name: b"x"})

    with pytest.raises(CheckpointError, match="must have names within it"):
        import_model(archive, tmp_path / "models" / "model")
    assert not list(tmp_path.rglob("outside"))


def test_links_are_refused(tmp_path: Path) -> None:
    archive = _zipped(_package(tmp_path / "en_de"), tmp_path / "a.argosmodel")
    link = zipfile.ZipInfo("translate-en_de/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")

    with pytest.raises(CheckpointError, match="plain files and folders"):
        import_model(archive, tmp_path / "model")


def test_bombs_are_refused(tmp_path: Path) -> None:
    package = _package(tmp_path / "en_de")
    (package / "sentencepiece.model").write_bytes(bytes(2**22))
    archive = _zipped(package, tmp_path / "a.argosmodel")

    with pytest.raises(CheckpointError, match="16 times as many"):
        import_model(archive, tmp_path / "model")


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    archive = _zipped(_package(tmp_path / "en_de"), tmp_path / "a.argosmodel")
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot"):
        import_model(archive, tmp_path / "model")
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="must be a zip archive"):
        import_model(archive, tmp_path / "model")
