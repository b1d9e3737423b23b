"""Documents that are made to harm: bombs, entities, nesting, names out of the archive."""

from __future__ import annotations

import io
import random
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from service.documents.document import DocumentOptions
from service.documents.errors import (
    DamagedDocumentError,
    DocumentError,
    DocumentTooLargeError,
    UnsupportedDocumentError,
)
from service.documents.formats import DOCUMENT_FORMATS, find_format
from service.documents.limits import DocumentLimits
from tests.document_words import rewritten
from tests.office_files import docx_file, zip_file

FIXTURES = Path(__file__).parents[3] / "fixtures" / "documents"
_INSERTED = (b"", b"<", b"</w:r>", b"<x/>", b"&b;", b'"', b"\xff", b"text")
PARAGRAPH = "<w:p><w:r><w:t>text</w:t></w:r></w:p>"


def read(data: bytes, name: str = "a.docx", **limits: int) -> None:
    options = DocumentOptions(limits=replace(DocumentLimits(), **limits))
    find_format(name).read(data, options)


@pytest.mark.parametrize(
    ("limit", "data", "name"),
    [
        ("max_bytes", b"a" * 100, "a.txt"),
        ("max_characters", b"a text " * 10, "a.txt"),
        ("max_units", b'["a", "b", "c", "d"]', "a.json"),
        ("max_members", docx_file(PARAGRAPH), "a.docx"),
        ("max_unpacked_bytes", docx_file(PARAGRAPH), "a.docx"),
        ("max_xml_bytes", docx_file(PARAGRAPH), "a.docx"),
        ("max_depth", b"[[[[[]]]]]", "a.json"),
        ("max_depth", b"<xliff><a><b><c><d/></c></b></a></xliff>", "a.xlf"),
    ],
)
def test_every_limit_holds_and_is_named(limit: str, data: bytes, name: str) -> None:
    read(data, name)
    with pytest.raises(DocumentError, match=r"at most 2|most 2 files"):
        read(data, name, **{limit: 2})


def test_a_zip_bomb_is_refused() -> None:
    bomb = docx_file(PARAGRAPH + " " * (64 * 2**20 // 4))
    assert len(bomb) < 2**16
    with pytest.raises(DocumentTooLargeError, match="max_growth"):
        read(bomb)


@pytest.mark.parametrize("name", ["../a.xml", "/a.xml", "a\\b.xml", "word/document.xml"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_out_of_the_archive_or_twice_are_refused(name: str) -> None:
    data = io.BytesIO(docx_file(PARAGRAPH))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr(name, "text")
    with pytest.raises(DamagedDocumentError, match=r"names within it|each file once"):
        read(data.getvalue())


_BILLION = '<!DOCTYPE a [<!ENTITY b "text"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
_OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [_BILLION, _OUTSIDE])
def test_entities_are_refused(doctype: str) -> None:
    xliff = f"{doctype}<xliff version='1.2'><trans-unit><source>&b;</source></trans-unit></xliff>"
    with pytest.raises(DamagedDocumentError, match="must define no entities"):
        read(xliff.encode(), "a.xliff")


def test_an_external_dtd_is_never_read() -> None:
    xliff = "<!DOCTYPE xliff SYSTEM 'http://127.0.0.1:9/a.dtd'><xliff version='1.2'/>"
    read(xliff.encode(), "a.xliff")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DamagedDocumentError):
        read(b"<a>" * 100_000 + b"</a>" * 100_000, "a.xliff")
    with pytest.raises(DocumentError):
        read(docx_file("<w:a>" * 100_000 + "</w:a>" * 100_000))


def test_an_older_format_or_an_encrypted_one_is_told() -> None:
    with pytest.raises(DamagedDocumentError, match="neither encrypted nor of an older format"):
        read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3000))
    manifest = {"mimetype": "application/vnd.oasis.opendocument.text",
                "META-INF/manifest.xml": "<encryption-data/>", "content.xml": "?"}  # fmt: skip
    with pytest.raises(DamagedDocumentError, match="must not be encrypted"):
        read(zip_file(manifest), "a.odt")


def test_what_is_encrypted_is_refused() -> None:
    data = bytearray(docx_file(PARAGRAPH))
    for sign in (b"PK\1\2", b"PK\3\4"):
        at = -1
        while (at := data.find(sign, at + 1)) >= 0:
            data[at + (8 if sign == b"PK\1\2" else 6)] |= 1
    with pytest.raises(DamagedDocumentError, match="must not be encrypted"):
        read(bytes(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "but is empty"),
        (b"a text", "but is none"),
        (docx_file(PARAGRAPH)[:400], "but is damaged, or its end is missing"),
    ],
    ids=["empty", "text", "cut"],
)
def test_what_is_no_archive_is_told(data: bytes, words: str) -> None:
    with pytest.raises(DamagedDocumentError, match=words):
        read(data)


def test_what_is_wrong_with_xml_is_told_without_what_read_it() -> None:
    with pytest.raises(DamagedDocumentError, match="well-formed XML, but is not: ") as caught:
        read(zip_file({"[Content_Types].xml": "<a>"}))
    assert "<string>" not in str(caught.value)


@pytest.mark.parametrize("each", DOCUMENT_FORMATS, ids=lambda each: each.name)
def test_damage_is_one_kind_of_error(each: object) -> None:
    name = f"a.{each.name}"  # type: ignore[attr-defined]
    generator = random.Random(0)
    noise = generator.randbytes(3000)
    for data in (b"", b"PK\3\4" + noise, noise, b"\xff" * 20, docx_file(PARAGRAPH)[:-30]):
        with suppress(DocumentError):
            rewritten(name, data)


def test_damaged_members_and_flipped_bytes() -> None:
    data = docx_file(PARAGRAPH * 50)
    generator = random.Random(1)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        with suppress(DocumentError):
            rewritten("a.docx", bytes(damaged))


@pytest.mark.parametrize(
    "name", ["report.docx", "report.epub", "report.odt", "slides.pptx", "table.xlsx"]
)
def test_damaged_xml_in_archives(name: str) -> None:
    generator = random.Random(2)
    with zipfile.ZipFile(FIXTURES / name) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    names = [each for each in files if each.endswith(("content.xml", "1.xml", "ment.xml", ".opf"))]
    for _ in range(10):
        damaged = dict(files)
        for each in names:
            content = bytearray(files[each])
            at = generator.randrange(len(content))
            content[at : at + generator.randint(0, 20)] = generator.choice(_INSERTED)
            damaged[each] = bytes(content)
        with suppress(DocumentError):
            rewritten(name, zip_file(damaged))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n" + b"<i>a " * 20_000),
        (
            "a.docx",
            docx_file("<w:p>" + "<w:r><w:t>a</w:t></w:r><w:r><w:tab/></w:r>" * 2000 + "</w:p>"),
        ),
        ("a.html", b"<html" * 200_000),
        ("a.po", b'#, c-format\nmsgid "a ' + b"%(" * 200_000 + b'"\nmsgstr ""\n'),
        ("a.csv", b'"' * 500_000),
        ("a.json", b'"' + b"\\" * 500_000 + b'"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.timeout(120)
def test_repeated_signs_take_linear_time(name: str, data: bytes) -> None:
    # With work that grows with the square, each of these would take many minutes.
    with suppress(DocumentError):
        document = find_format(name).read(data, DocumentOptions())
        document.written([unit.text for unit in document.units])


def test_control_characters_never_break_markup() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\none \x01word <b>more</b> here\n"
    text += "and more of it\n" * 10
    assert "ONE WORD <b>MORE</b> HERE" in rewritten("a.srt", text.encode()).decode()


def test_an_empty_document_comes_back() -> None:
    assert rewritten("a.txt", b"") == b""
    assert rewritten("a.csv", b"") == b""
    assert rewritten("a.vtt", b"WEBVTT\n") == b"WEBVTT\n"
    empty = zip_file({"a": ""})
    with pytest.raises(DamagedDocumentError):
        rewritten("a.docx", empty)


def test_formats_are_found() -> None:
    assert find_format("A.DOCX").name == "docx"
    assert find_format("a.htm").name == "html"
    assert find_format(None, "text/csv; charset=utf-8").name == "csv"
    assert find_format("upload", "application/epub+zip").media_type == "application/epub+zip"
    for name in ("a.pdf", "a", ".docx/..", ""):
        with pytest.raises(UnsupportedDocumentError, match=r"must be one of \.txt, \.md"):
            find_format(name)
