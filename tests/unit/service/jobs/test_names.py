"""Names of files are safe on every system, and names of contents tell their age."""

from __future__ import annotations

import pytest

from service.jobs.names import blob_age, new_blob, result_name, safe_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Übersicht für März.txt", "Übersicht für März.txt"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\Users\\me\\cats.txt", "cats.txt"),
        ('a"b<c>.txt', "a_b_c_.txt"),
        ("a\r\nb\0\u202e.txt", "ab.txt"),
        ("...txt", "txt.docx"),
        ("..", "document.docx"),
        ("", "document.docx"),
        (None, "document.docx"),
        ("cats", "cats.docx"),
        ("ü" * 300 + ".txt", "ü" * 98 + ".txt"),
    ],
)
def test_names_of_files(given: str | None, kept: str) -> None:
    assert safe_name(given, ".docx") == kept


def test_the_translation_has_a_name_of_its_own() -> None:
    assert result_name("report.v2.docx", "de") == "report.v2.de.docx"


def test_contents_tell_their_age() -> None:
    assert 0 <= blob_age(new_blob()) < 60
    assert blob_age("document-00000001-" + "0" * 32) > 10**9
    assert blob_age("somebodys") < 0
