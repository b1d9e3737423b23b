"""`polyhead translate FILE`: which arguments are files, and what becomes of them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from model.checkpoints.embedded import model_directory
from model.config import EngineConfig
from model.errors import InvalidRequestError
from model.text_options import TextOptions
from service.cli.document_files import document_options, document_path, translate_file
from service.documents.document import DocumentOptions
from service.documents.errors import DamagedDocumentError, UnsupportedDocumentError
from service.documents.formats import find_format
from tests.tiny_model import build_tiny_model

FIXTURES = Path(__file__).parents[3] / "fixtures" / "documents"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def translated(path: Path, model: str | Path, to: Path | None = None, **options: object) -> Path:
    return translate_file(
        path, to, model_directory(model), options=DocumentOptions(**options),  # type: ignore[arg-type]
        engine=EngineConfig(num_threads=1), text_options=TextOptions(), progress=io.StringIO(),
    )  # fmt: skip


def test_what_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a note.txt"
    path.write_text("text")
    assert document_path(str(path), None) == path
    with pytest.raises(InvalidRequestError, match="must come with texts, but come with a document"):
        document_path(str(path), None, as_lines=True)
    for text in (None, "Good morning.", "See readme.txt", "Version 2.10", "a\nb.txt"):
        assert document_path(text, None) is None
    with pytest.raises(InvalidRequestError, match="there must be a file"):
        document_path("missing.docx", None)
    with pytest.raises(InvalidRequestError, match="must come with a document"):
        document_path("Good morning!", tmp_path / "out.txt")
    other = tmp_path / "a.pdf"
    other.write_text("text")
    with pytest.raises(UnsupportedDocumentError, match=r"must be one of \.txt"):
        document_path(str(other), None)


def test_options_are_lists() -> None:
    options = document_options("1, name", "title,a.*.b", True)
    assert (options.columns, options.keys) == (("1", "name"), ("title", "a.*.b"))
    assert options.retranslate


def test_a_file_is_written_beside_its_source_unless_it_is_there(
    tmp_path: Path, model: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "The red house.", "b": 1.0}')
    place = translated(path, model)
    assert place == tmp_path / "a.de.json"
    assert place.read_text().endswith('", "b": 1.0}')
    with pytest.raises(InvalidRequestError, match="must not be there yet"):
        translated(path, model)
    assert translated(path, model, place) == place
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.de.json", "a.json"]
    assert place.stat().st_mode & 0o400


def test_nothing_is_written_of_a_document_that_is_damaged(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_text("text")
    with pytest.raises(DamagedDocumentError, match="must be a zip archive"):
        translated(path, model)
    with pytest.raises(InvalidRequestError, match="cannot read"):
        translated(tmp_path / "missing.txt", model)
    assert [each.name for each in tmp_path.iterdir()] == ["a.docx"]


def test_where_it_cannot_be_written(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("12")
    with pytest.raises(InvalidRequestError, match="cannot write"):
        translated(path, model, tmp_path / "missing" / "a.txt")


def units(path: Path) -> list[str]:
    document = find_format(path.name).read(path.read_bytes(), DocumentOptions(retranslate=True))
    return [unit.text for unit in document.units]


def test_bold_words_stay_bold_with_a_real_model(tmp_path: Path) -> None:
    place = translated(FIXTURES / "report.docx", "en-de", tmp_path / "a.docx")
    found = units(place)
    assert "Das rote Haus" in found
    [sentence] = [text for text in found if "alte Haus" in text]
    assert '<g id="0">alte Haus</g>' in sentence
    assert '<x id="' in sentence


def test_messages_and_subtitles_with_a_real_model(tmp_path: Path) -> None:
    catalog = tmp_path / "a.po"
    catalog.write_text('#, c-format\nmsgid "Open %d files."\nmsgstr ""\n')
    text = translated(catalog, "en-de").read_text()
    assert "%d" in text.split("msgstr")[1]
    assert "fuzzy" not in text
    subtitles = tmp_path / "a.srt"
    subtitles.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nThe old man went\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\ndown to the river.\n"
    )
    cues = translated(subtitles, "en-de").read_text().split("\n\n")
    assert all(cue.split("\n")[2].strip() for cue in cues)
    assert "Mann" in cues[0]
    assert "Fluss" in cues[1]
