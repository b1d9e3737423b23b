"""Documents that LibreOffice has written, translated, and opened by it again.

Those in tests/fixtures/documents are of LibreOffice 7.4, made of the flat files beside them:
`soffice --headless --convert-to docx report.fodt`, and odt and epub; `pptx slides.fodp`;
`xlsx table.fods`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.documents.document import DocumentOptions
from tests.document_words import in_reverse, rewritten
from tests.office_files import member

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"
OFFICE = shutil.which("soffice")
needs_office = pytest.mark.skipif(OFFICE is None, reason="LibreOffice (soffice) is not here")


def reversed_file(name: str) -> bytes:
    data = (FIXTURES / name).read_bytes()
    return rewritten(name, data, in_reverse, DocumentOptions(source="en", target="de"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By name of a translated document: what LibreOffice reads in it, as one of its flat files."""
    assert OFFICE is not None
    folder = tmp_path_factory.mktemp("office")
    kinds = {
        "report.docx": "fodt",
        "report.odt": "fodt",
        "slides.pptx": "fodp",
        "table.xlsx": "fods",
    }
    found = {}
    for name, kind in kinds.items():
        (folder / name).write_bytes(reversed_file(name))
        subprocess.run(
            [
                OFFICE, f"-env:UserInstallation=file://{folder}/profile", "--headless",
                "--convert-to", kind, "--outdir", str(folder / name.replace(".", "-")),
                str(folder / name),
            ],
            check=True, capture_output=True, timeout=240,
        )  # fmt: skip
        stem = name.partition(".")[0]
        found[name] = (folder / name.replace(".", "-") / f"{stem}.{kind}").read_text("utf-8")
    return found


def plain(xml: str) -> str:
    """The text of a flat file."""
    return " ".join(re.sub("<[^>]+>", "", xml.partition("<office:body>")[2]).split())


@needs_office
@pytest.mark.parametrize("name", ["report.docx", "report.odt"])
def test_a_text_is_opened_again(opened: dict[str, str], name: str) -> None:
    xml = opened[name]
    text = plain(xml)
    for said in (
        "house red The", "near is", "child the Ask", "water Cold", "spring in built was It",
        "street quiet A", "station small The", "morning Good",
    ):  # fmt: skip
        assert said in text, said
    assert "report yearly The" in xml
    styles = set(
        re.findall(
            r'<style:style style:name="(\w+)" style:family="text"[^>]*>\s*'
            r'<style:text-properties[^>]*"bold"',
            xml,
        )
    )
    bold = re.findall(r'<text:span text:style-name="(\w+)">house old</text:span>', xml)
    assert bold, "the bold words are together"
    assert set(bold) <= styles
    assert re.search(r"<text:a [^>]*example\.org[^>]*>(?:<[^>]+>)*page our<", xml)
    assert "text:page-number" in xml
    assert "Please check" in xml
    assert "<text:insertion>" in xml
    assert "<text:deletion>" in xml
    assert re.search(r"<text:deletion>.*?never", xml, re.DOTALL) is not None


@needs_office
def test_slides_are_opened_again(opened: dict[str, str]) -> None:
    text = plain(opened["slides.pptx"])
    for said in ("house red The", "house old", "morning Good", "slowly this Say"):
        assert said in text, said


@needs_office
def test_a_table_is_opened_again(opened: dict[str, str]) -> None:
    xml = opened["table.xlsx"]
    assert "house red The" in plain(xml)
    assert re.search('<text:span text:style-name="[^"]*">house old</text:span>', xml)
    assert 'table:name="Old bread"' in xml
    assert 'office:value="25"' in xml
    assert re.search('table:formula="[^"]*IF[^"]*"[^>]*office:string-value="Good morning"', xml)


def test_a_book_of_libreoffice() -> None:
    found = reversed_file("report.epub")
    assert "<dc:language>de</dc:language>" in member(found, "OEBPS/content.opf")
    page = member(found, "OEBPS/sections/section0001.xhtml")
    assert '<span class="span1">house old</span>' in page
    assert "house red The" in member(found, "OEBPS/toc.ncx")
    assert "house red The" in member(found, "OEBPS/toc.xhtml")
