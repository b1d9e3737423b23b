"""What the options of `polyhead translate` about its texts become."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import InvalidRequestError
from model.text_options import NO_TEXT_OPTIONS, GlossaryEntry, TextFormat, TextOptions
from service.cli.text_options import read_glossary, text_options


def test_options_become_those_of_the_translator(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("cat\tMieze\n", encoding="utf-8")
    assert text_options(path, ["X"], ["Hund"], "Die", "text", False) == TextOptions(
        keep=("X",),
        glossary=(GlossaryEntry("cat", ("Mieze",)),),
        banned_terms=("Hund",),
        target_prefix="Die",
    )
    html = text_options(None, None, None, "", "html", True)
    assert html == TextOptions(format=TextFormat.HTML, translate_attributes=True)
    assert text_options(None, None, None, "", "text", False) == NO_TEXT_OPTIONS
    with pytest.raises(InvalidRequestError, match="`format` must be one of text, html"):
        text_options(None, None, None, "", "rtf", False)


def test_a_glossary_is_a_term_and_its_forms_a_line(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    content = "\ufeff# animals\r\ncat\tMieze\r\n\r\n dog \tHund\tHunde\t \n"
    path.write_bytes(content.encode())
    assert read_glossary(path) == (
        GlossaryEntry("cat", ("Mieze",)),
        GlossaryEntry("dog", ("Hund", "Hunde")),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\tMieze\ndog", "line 2 of .*terms.tsv must have a term, a tab and its translation"),
        (b"\tMieze", "line 1 of"),
        (b"cat\t\xff", "must be UTF-8, but is not"),
    ],
)
def test_a_file_that_is_no_glossary(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "terms.tsv"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=message):
        read_glossary(path)


def test_a_glossary_that_is_not_there_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "terms.tsv"
    with pytest.raises(InvalidRequestError, match=r"cannot read .*terms.tsv: No such file"):
        read_glossary(path)
    monkeypatch.setattr("service.cli.text_options._MOST_BYTES", 8)
    path.write_text("cat\tMieze", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="must have at most 8 bytes, but has more"):
        read_glossary(path)
