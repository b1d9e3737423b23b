"""OpenDocument texts and EPUB books, written by hand."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from service.documents.document import DocumentOptions
from service.documents.errors import DamagedDocumentError
from tests.document_words import Changed, in_capitals, in_reverse, rewritten
from tests.office_files import member, zip_file

_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
    for name, long in (
        ("office", "office"), ("text", "text"), ("style", "style"),
        ("fo", "xsl-fo-compatible"), ("draw", "drawing"),
    )
)  # fmt: skip
STYLES = (
    '<style:style style:name="T1" style:family="text">'
    '<style:text-properties fo:font-weight="bold"/>'
    '</style:style><style:style style:name="T2" style:family="text"><style:text-properties '
    'officeooo:rsid="0012" fo:language="en"/></style:style>'
    '<style:style style:name="T3" style:family="text"><style:text-properties fo:font-weight="bold" '
    'officeooo:rsid="0013"/></style:style>'
)


def odt(text: str) -> bytes:
    names = f'{_NAMES} xmlns:officeooo="http://openoffice.org/2009/office"'
    names += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
    content = (
        f"<office:document-content {names}><office:automatic-styles>{STYLES}"
        f"</office:automatic-styles><office:body><office:text>{text}</office:text></office:body>"
        "</office:document-content>"
    )
    header = (
        f"<office:document-styles {names}><office:master-styles><style:header>"
        "<text:p>a header</text:p></style:header></office:master-styles></office:document-styles>"
    )
    return zip_file(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": content,
            "styles.xml": header,
        }
    )


def body(text: str, change: Changed | object = in_reverse) -> str:
    found = member(rewritten("a.odt", odt(text), change), "content.xml")  # type: ignore[arg-type]
    inner = re.search("<office:text>(.*)</office:text>", found, re.DOTALL)
    assert inner
    return inner[1]


def test_spans_that_look_alike_are_one() -> None:
    span = '<text:span text:style-name="{}">{}</text:span>'.format
    assert body(
        f"<text:p>The {span('T1', 're')}{span('T3', 'd')}{span('T2', ' hou')}se.</text:p>"
    ) == (f"<text:p>house {span('T1', 'red')} The.</text:p>")
    assert body(f"<text:p>{span('T2', 'The')}{span('T1', ' red')}</text:p>") == (
        f"<text:p>{span('T1', 'red')} The</text:p>"
    )


def test_links_and_fields_within_spans_stay_within_them() -> None:
    bold = '<text:span text:style-name="T1">{}</text:span>'.format
    link, number = (
        '<text:a xlink:href="x">{}</text:a>'.format,
        "<text:page-number>7</text:page-number>",
    )
    found = body(f"<text:p>The page is {bold('at ' + link('our house') + number)}.</text:p>")
    assert link(bold("house our")) in found
    assert bold(number) in found


def test_what_begins_a_range_comes_before_what_ends_it() -> None:
    begin, end = '<text:change-start text:change-id="c"/>', '<text:change-end text:change-id="c"/>'
    found = body(f"<text:p>The train{begin} is {end}late.</text:p>")
    assert 0 < found.index(begin) < found.index(end)


def test_what_is_within_paragraphs_stays() -> None:
    text = (
        '<text:p text:style-name="P">The<text:s text:c="2"/>old <text:a xlink:href="x">red</text:a>'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a note"
        "</text:p></text:note-body></text:note> house<text:tab/>a word<text:line-break/>goes on"
        "<text:soft-page-break/></text:p>"
        "<text:p><office:annotation><text:p>a comment</text:p></office:annotation>text</text:p>"
        "<text:tracked-changes><text:p>was deleted</text:p></text:tracked-changes>"
    )
    found = body(text, in_capitals)
    assert found == (
        text.replace("The<", "THE<").replace("old ", "OLD ").replace(">red", ">RED")
        .replace("a note", "A NOTE").replace(" house", " HOUSE").replace("a word", "A WORD")
        .replace("<text:line-break/>goes on", " <text:line-break/>GOES ON")
        .replace("<text:soft-page-break/>", "")
        .replace("text</text:p><text:tr", "TEXT</text:p><text:tr")
    )  # fmt: skip


def test_headers_of_an_odt() -> None:
    found = rewritten("a.odt", odt("<text:p>text</text:p>"))
    assert "<text:p>A HEADER</text:p>" in member(found, "styles.xml")
    assert zipfile.ZipFile(io.BytesIO(found)).infolist()[0].compress_type == zipfile.ZIP_STORED


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
)
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>The red house</dc:title><dc:language>en</dc:language></metadata>
<manifest><item id="a" href="text/a%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="x" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest>
<spine toc="x"><itemref idref="a"/></spine></package>"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en" xml:lang="en"><head><title/></head>
<body><p>The <i>old</i> house.<br/>one word</p></body></html>"""
NCX = """<?xml version="1.0"?>
<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" xml:lang="en"><navMap><navPoint id="1"><navLabel>
<text>a part</text></navLabel><content src="text/a%20b.xhtml"/></navPoint></navMap></ncx>"""


def book(more: dict[str, str] | None = None) -> bytes:
    return zip_file(
        {
            "META-INF/container.xml": CONTAINER, "mimetype": "application/epub+zip",
            "OEBPS/content.opf": PACKAGE, "OEBPS/text/a b.xhtml": PAGE,
            "OEBPS/nav.xhtml": PAGE.replace("one word", "a part"), "OEBPS/toc.ncx": NCX,
            "OEBPS/style.css": "p {}", **(more or {}),
        }
    )  # fmt: skip


def test_a_book() -> None:
    found = rewritten("a.epub", book(), options=DocumentOptions(target="de"))
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert len(archive.namelist()) == 7
    package = member(found, "OEBPS/content.opf")
    assert "<dc:title>THE RED HOUSE</dc:title><dc:language>de</dc:language>" in package
    page = member(found, "OEBPS/text/a b.xhtml")
    assert page == (
        PAGE.replace('"en"', '"de"').replace("The <i>old</i> house", "THE <i>OLD</i> HOUSE")
        .replace("one word", "ONE WORD")
    )  # fmt: skip
    assert "A PART" in member(found, "OEBPS/nav.xhtml")
    assert "<text>A PART</text>" in member(found, "OEBPS/toc.ncx")
    assert member(found, "OEBPS/style.css") == "p {}"


def test_an_encrypted_book_is_refused() -> None:
    cipher = '<encryption><CipherReference URI="OEBPS/text/a%20b.xhtml"/></encryption>'
    with pytest.raises(DamagedDocumentError, match="must not be encrypted"):
        rewritten("a.epub", book({"META-INF/encryption.xml": cipher}))
    font = '<encryption><CipherReference URI="OEBPS/a.otf"/></encryption>'
    assert rewritten("a.epub", book({"META-INF/encryption.xml": font}))
