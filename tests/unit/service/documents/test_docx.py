"""Word documents: what is translated, what stays, and where formatting goes."""

from __future__ import annotations

import re

import pytest

from service.documents.document import DocumentOptions
from tests.document_words import in_reverse, rewritten
from tests.office_files import docx_file, member, zip_file

DOCUMENT = "word/document.xml"


def run(text: str, properties: str = "") -> str:
    return f"<w:r>{properties}<w:t xml:space='preserve'>{text}</w:t></w:r>"


BOLD = "<w:rPr><w:b/></w:rPr>"


def body(xml: str, **options: object) -> str:
    """The body of a document with its words in capitals."""
    data = rewritten("a.docx", docx_file(xml), **options)  # type: ignore[arg-type]
    found = re.search("<w:body>(.*)</w:body>", member(data, DOCUMENT), re.DOTALL)
    assert found
    return found[1].replace(' xml:space="preserve"', "")


def texts(xml: str) -> list[str]:
    return re.findall("<w:t>([^<]*)</w:t>", xml)


def test_bold_words_stay_bold_in_another_order() -> None:
    paragraph = f"<w:p>{run('The red ')}{run('house', BOLD)}{run(' is old.')}</w:p>"
    found = body(paragraph, change=in_reverse)
    assert found == (
        "<w:p><w:r><w:t>old is </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>house</w:t></w:r>"
        "<w:r><w:t> red The.</w:t></w:r></w:p>"
    )


def test_runs_that_look_alike_are_one() -> None:
    rsid = "<w:r w:rsidR='00AB12'><w:rPr><w:lang w:val='en-US'/></w:rPr><w:t>o</w:t></w:r>"
    paragraph = (
        f"<w:p>{run('The h')}<w:proofErr w:type='spellStart'/>{rsid}{run('use')}"
        f"<w:proofErr w:type='spellEnd'/><w:r><w:lastRenderedPageBreak/><w:t> is old.</w:t></w:r>"
        "</w:p>"
    )
    assert body(paragraph) == "<w:p><w:r><w:t>THE HOUSE IS OLD.</w:t></w:r></w:p>"


def test_links_and_tracked_changes() -> None:
    link = f"<w:hyperlink r:id='rId9'>{run('our ')}{run('page', BOLD)}</w:hyperlink>"
    deleted = "<w:del w:author='A'><w:r><w:delText>never</w:delText></w:r></w:del>"
    inserted = f"<w:ins w:author='A'>{run('al')}</w:ins><w:ins w:author='A'>{run('ways')}</w:ins>"
    found = body(f"<w:p>{run('See ')}{link}{run(' ')}{deleted}{inserted}{run(' first.')}</w:p>")
    assert texts(found) == ["SEE ", "OUR", " PAGE", " ", "ALWAYS", " FIRST."]
    assert found.count("<w:hyperlink ") == found.count("<w:ins ") == 1
    assert "<w:delText>never</w:delText>" in found
    assert found.index("hyperlink") < found.index("w:del ") < found.index("w:ins ")


def test_tabs_and_line_breaks_end_a_text_unless_it_goes_on() -> None:
    tab, line = "<w:r><w:tab/></w:r>", "<w:r><w:br/></w:r>"
    found = body(
        f"<w:p>{run('Name:')}{tab}{run('the house')}</w:p>"
        f"<w:p>{run('A long')}{line}{run('sentence')}{line}{run('Another one')}</w:p>",
        change=in_reverse,
    )
    assert texts(found) == ["Name:", "house the", "sentence long A", "one Another"]
    assert found.count("<w:tab/>") == 1
    assert found.count("<w:br/>") == 2


def field(instruction: str, result: str) -> str:
    mark = "<w:r><w:fldChar w:fldCharType='{}'/></w:r>".format
    return (
        f"{mark('begin')}<w:r><w:instrText> {instruction} </w:instrText></w:r>{mark('separate')}"
        f"{result}{mark('end')}"
    )


def test_fields_stay_but_links_are_translated() -> None:
    page = field("PAGE", run("seven"))
    link = field('HYPERLINK "https://example.org"', run("the page"))
    found = body(f"<w:p>{run('On page ')}{page}{run(' of ')}{link}{run('.')}</w:p>")
    assert texts(found) == ["ON PAGE ", "seven", " OF ", "THE PAGE", "."]
    kinds = re.findall('fldCharType="([a-z]+)"', found)
    assert kinds == ["begin", "separate", "end"] * 2


def test_a_table_of_contents_over_several_paragraphs() -> None:
    mark = "<w:r><w:fldChar w:fldCharType='{}'/></w:r>".format
    toc = "<w:r><w:instrText>TOC \\o</w:instrText></w:r>"
    entry = f"{run('First part')}<w:r><w:tab/></w:r>{field('PAGEREF _1', run('seven'))}"
    found = body(
        f"<w:p>{mark('begin')}{toc}{mark('separate')}{entry}</w:p>"
        f"<w:p>{run('Second part')}</w:p><w:p>{mark('end')}</w:p><w:p>{run('A text')}</w:p>"
    )
    assert texts(found) == ["FIRST PART", "seven", "SECOND PART", "A TEXT"]


def test_text_boxes_within_a_run_and_notes_in_their_place() -> None:
    box = (
        "<w:r><w:pict><w:txbxContent><w:p>"
        + run("in a box")
        + "</w:p></w:txbxContent></w:pict></w:r>"
    )
    note = "<w:r><w:footnoteReference w:id='2'/></w:r>"
    found = body(f"<w:p>{box}{run('The house')}{note}{run(' is old.')}</w:p>", change=in_reverse)
    assert texts(found) == ["box a in", "old is house", " The."]
    assert found.count("footnoteReference") == 1


def test_headers_and_notes_are_translated_and_comments_are_not() -> None:
    part = f"<w:x NAMES><w:p>{run('one word')}</w:p></w:x>"
    more = {
        "word/header1.xml": ("wordprocessingml.header", part),
        "word/footnotes.xml": ("wordprocessingml.footnotes", part),
        "word/comments.xml": ("wordprocessingml.comments", part),
        "word/charts/chart1.xml": (
            "drawingml.chart",
            "<c NAMES><a:p><a:r><a:t>a title</a:t></a:r></a:p></c>",
        ),
    }
    data = docx_file(f"<w:p>{run('text')}</w:p>", more)
    found = rewritten("a.docx", data)
    for name in ("word/header1.xml", "word/footnotes.xml"):
        assert "ONE WORD" in member(found, name)
    assert "A TITLE" in member(found, "word/charts/chart1.xml")
    assert member(found, "word/comments.xml") == member(data, "word/comments.xml")


def test_the_language_of_the_text_is_said() -> None:
    lang = "<w:rPr><w:b/><w:lang w:val='en-US'/></w:rPr>"
    found = body(f"<w:p>{run('text', lang)}</w:p>", options=DocumentOptions(target="pt_br"))
    assert '<w:lang w:val="pt-BR"/>' in found


def test_content_controls_that_people_choose_from_stay() -> None:
    chosen = "<w:sdt><w:sdtPr><w:dropDownList/></w:sdtPr>"
    chosen += f"<w:sdtContent>{run('yes')}</w:sdtContent></w:sdt>"
    written = (
        f"<w:sdt><w:sdtPr><w:tag/></w:sdtPr><w:sdtContent>{run('word')}</w:sdtContent></w:sdt>"
    )
    found = body(f"<w:p>{run('a ')}{chosen}{run(' or ')}{written}</w:p>")
    assert texts(found) == ["A ", "yes", " OR ", "WORD"]
    assert found.index("<w:sdtPr><w:tag/></w:sdtPr>") < found.index("WORD")


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.odt", "a.epub"])
def test_another_archive_is_refused(name: str) -> None:
    from service.documents.errors import DamagedDocumentError

    with pytest.raises(DamagedDocumentError):
        rewritten(name, zip_file({"a.txt": "text"}))
