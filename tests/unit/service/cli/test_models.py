"""`polyhead models`: what other projects' models become, and how they are called then."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest

from service import cli
from tests.fixtures.marian import FIXTURES
from tests.huggingface_models import MODELS, SavedModel
from tests.model_server import COMMIT, Site, argos_package, firefox_registry, serving
from tests.tiny_model import build_tiny_model

Run = Callable[..., tuple[int, str, str]]
SSRU = str(FIXTURES / "ssru" / "model.npz")
PAIR = ("--source", "en", "--target", "fr")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYHEAD_MODELS_FOLDER", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "models"


@pytest.fixture
def models(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["polyhead", "models", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.mark.parametrize("command", ["import", "list", "show", "remove"])
def test_help_shows_examples(models: Run, command: str) -> None:
    status, output, _ = models(command, "--help")
    assert status == 0
    assert f"  polyhead models {command}" in output.partition("Examples:\n")[2]


def test_a_model_is_imported_listed_shown_and_removed(models: Run, folder: Path) -> None:
    status, output, errors = models("import", SSRU, "--name", "mine", *PAIR, "--license", "CC0-1.0")
    assert (status, errors) == (0, "")
    assert output.startswith("mine: en -> fr, ")
    assert "licence CC0-1.0" in output
    _, output, _ = models("list")
    [line] = [line for line in output.splitlines() if line.startswith("mine")]
    assert line.split()[1:] == ["en", "->", "fr", "0", "MiB", "CC0-1.0", SSRU]
    assert any(line.startswith("en-de") for line in output.splitlines())
    _, output, _ = models("show", "mine")
    for text in ("CC0-1.0", "ssru", SSRU, "bfloat16", "model.npz", str(folder / "mine")):
        assert text in output, text
    _, output, _ = models("show", "mine", "--gpu")
    rows = [line.split() for line in output.splitlines() if "bfloat16" in line or "float32" in line]
    assert [row[0] for row in rows] == ["bfloat16", "float32"]
    assert [row[-4:] for row in rows] == [["1024"] * 4] * 2  # a small one has room for all
    status, output, _ = models("remove", "mine", stdin="n\n")
    assert status == 1
    assert (folder / "mine").exists()
    status, output, _ = models("remove", "mine", stdin="y\n")
    assert (status, list(folder.iterdir())) == (0, [])


def test_a_link_that_leads_nowhere_is_nothing_to_list(models: Run, folder: Path) -> None:
    build_tiny_model(folder / "mine")
    (folder / "mine" / "notes").symlink_to(folder / "gone")
    (folder / "gone-model").symlink_to(folder / "gone")
    status, output, errors = models("list")
    assert (status, errors) == (0, "")
    assert "\nmine " in output


def test_nothing_is_replaced_unasked(models: Run, folder: Path) -> None:
    build_tiny_model(folder / "mine")
    before = (folder / "mine" / "config.json").read_bytes()
    status, _, errors = models("import", SSRU, "--name", "mine", *PAIR)
    assert status == 1
    assert "is there already: give another `--name`, or `--replace`" in errors
    assert (folder / "mine" / "config.json").read_bytes() == before
    assert models("import", SSRU, "--name", "mine", *PAIR, "--replace")[0] == 0
    assert (folder / "mine" / "config.json").read_bytes() != before


def test_a_directory_of_ones_own(models: Run, folder: Path, tmp_path: Path) -> None:
    assert models("import", SSRU, "--to", str(tmp_path / "there"), *PAIR)[0] == 0
    assert (tmp_path / "there" / "SHA256SUMS").exists()
    assert not folder.exists()
    assert models("show", str(tmp_path / "there"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", SSRU, "--name", "../x"), "the name of a model must be of 1 to 100 letters"),
        (
            ("import", SSRU, "--name", "en-de", *PAIR),
            "en-de is a model that comes with the project",
        ),
        (("import", SSRU), "its files do not say the source language, which must be given"),
        (("import", "/nothing"), "must be a file or a folder, but /nothing is none"),
        (("import", "s3://x"), "hf:, firefox:, argos: or https://, but begins with s3:"),
        (("show", "nothing"), "of those that `polyhead models list` has, but nothing is neither"),
        (("remove", "nothing"), "there must be a model 'nothing' in "),
        (("remove", "--yes", "../models"), "there must be a model '../models' in "),
        (("remove", "--yes", "en-de"), "en-de comes with the project, and stays"),
    ],
)
def test_what_is_wrong_is_one_line(models: Run, arguments: tuple[str, ...], message: str) -> None:
    status, _, errors = models(*arguments)
    [line] = errors.splitlines()
    assert status == 1
    assert message in line


@pytest.fixture
def hub(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("HF_ENDPOINT", site.base)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield site
    huggingface_hub.close_session()


def test_nllb_of_the_hub_with_what_its_licence_forbids(
    models: Run, folder: Path, hub: Site, tmp_path: Path
) -> None:
    saved = SavedModel.make(MODELS["nllb-200"], tmp_path / "saved").folder
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    files["README.md"] = b"---\nlicense: cc-by-nc-4.0\n---\n# NLLB\n"
    hub.repositories["anna/nllb-200-tiny"] = files
    (tmp_path / "lines").write_text("the old man sees a red car\n")
    status, output, _ = models(
        "import", "hf:anna/nllb-200-tiny", "--languages", "eng_Latn,deu_Latn",
        "--text", str(tmp_path / "lines"),
    )  # fmt: skip
    assert status == 0
    assert output.startswith("nllb-200-tiny: eng_Latn,deu_Latn -> eng_Latn,deu_Latn, ")
    assert "Its licence is cc-by-nc-4.0: it must not be used commercially." in output
    origin = json.loads((folder / "nllb-200-tiny" / "config.json").read_text())["origin"]
    assert (origin["source"], origin["revision"]) == ("hf:anna/nllb-200-tiny", COMMIT)


def test_a_folder_that_cannot_be_written_to_is_one_line(models: Run, folder: Path) -> None:
    folder.touch()
    status, _, errors = models("import", SSRU, "--name", "mine", *PAIR)
    [line] = errors.splitlines()
    assert status == 1
    assert f"cannot write {folder / 'mine'}: " in line


def test_firefox_of_mozillas_registry(
    models: Run, folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/models.json"] = json.dumps(firefox_registry(site)).encode()
    monkeypatch.setenv("POLYHEAD_FIREFOX_REGISTRY", f"{site.base}/models.json")
    status, output, errors = models("import", "firefox:en-fr")
    assert (status, errors) == (0, "")
    assert output.startswith("firefox-en-fr: en -> fr, ")
    origin = json.loads((folder / "firefox-en-fr" / "config.json").read_text())["origin"]
    assert origin["source"] == "firefox:en-fr"
    assert origin["revision"] == "models/en-fr/base-memory/exported"
    monkeypatch.setenv("POLYHEAD_OFFLINE", "1")
    site.files.clear()
    assert models("import", "firefox:en-fr", "--replace")[0] == 0


def test_languages_of_more_than_two_letters(
    models: Run, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = firefox_registry(site)
    [record, _] = registry["models"].pop("en-fr")
    registry["models"]["en-zh_hant"] = [record]
    for each in record["files"].values():
        content = site.files[f"/{each['path']}"]
        each["path"] = each["path"].replace("enfr", "enzh_hant")
        site.files[f"/{each['path']}"] = gzip.compress(gzip.decompress(content))
    site.files["/models.json"] = json.dumps(registry).encode()
    monkeypatch.setenv("POLYHEAD_FIREFOX_REGISTRY", f"{site.base}/models.json")
    status, output, errors = models("import", "firefox:en-zh_hant")
    assert (status, errors) == (0, "")
    assert output.startswith("firefox-en-zh-hant: en -> zh-hant, ")
    assert "MPL-2.0" in output


def test_all_packages_of_argos_at_once(models: Run, folder: Path, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "translate-ar_en.argosmodel").write_bytes(argos_package())
    (packages / "notes.txt").touch()
    assert models("import", str(packages))[0] == 0
    assert [path.name for path in folder.iterdir()] == ["argos-ar-en"]
    (packages / "again.argosmodel").write_bytes(argos_package())
    status, _, errors = models("import", str(packages))
    assert status == 1
    assert errors.splitlines()[-1] == "polyhead: 2 of 2 models have not been imported"


def test_a_damaged_model_is_listed_as_such(models: Run, folder: Path) -> None:
    (folder / "broken").mkdir(parents=True)
    (folder / "broken" / "config.json").write_text("{")
    status, output, errors = models("list")
    assert status == 0
    assert "broken  damaged" in output
    assert "broken/config.json" in errors
