"""Presentations and workbooks: what is translated, what stays, and where formatting goes."""

from __future__ import annotations

import re

from tests.document_words import in_reverse, rewritten
from tests.office_files import member, pptx_file, xlsx_file

SLIDE, STRINGS, SHEET = "ppt/slides/slide1.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"


def test_slides_and_notes() -> None:
    bold = "<a:rPr lang='en-US' b='1'/>"
    paragraph = (
        "<a:p><a:pPr/><a:r><a:rPr lang='en-US' dirty='0'/><a:t>The r</a:t></a:r>"
        f"<a:r><a:t>ed </a:t></a:r><a:r>{bold}<a:t>house</a:t></a:r><a:r><a:t> is old</a:t></a:r>"
        "<a:fld type='slidenum'><a:t>seven</a:t></a:fld><a:endParaRPr/></a:p>"
    )
    notes = "<a:p><a:r><a:t>say this</a:t></a:r></a:p>"
    found = rewritten("a.pptx", pptx_file(paragraph, notes), in_reverse)
    slide = member(found, SLIDE)
    assert re.findall("<a:t>([^<]*)", slide) == ["old is ", "house", " red The", "seven"]
    assert '<a:r><a:rPr lang="en-US" b="1"/><a:t>house</a:t></a:r>' in slide
    assert slide.index("<a:pPr/>") < slide.index("<a:t>")
    assert slide.endswith("<a:endParaRPr/></a:p></p:txBody></p:sld>")
    assert "<a:t>this say</a:t>" in member(found, "ppt/notesSlides/notesSlide1.xml")


def test_strings_of_cells() -> None:
    rich = (
        "<si><r><t>The </t></r><r><rPr><b/></rPr><t>red</t></r><r><t xml:space='preserve'> house"
        "</t></r><rPh sb='0' eb='1'><t>aloud</t></rPh></si>"
    )
    strings = f"<si><t>old bread</t></si>{rich}<si><t>12</t></si><si><t>Yes</t></si>"
    cells = (
        "<c r='A1' t='s'><v>0</v></c><c r='B1' t='inlineStr'><is><t>new water</t></is></c>"
        "<c r='C1' t='str'>"
        '<f>IF(A1="Yes","a word",A1)</f><v>a word</v></c><c r=\'D1\'><v>7</v></c>'
    )
    found = rewritten("a.xlsx", xlsx_file(strings, cells), in_reverse)
    said = member(found, STRINGS)
    assert '<si><t xml:space="preserve">bread old</t></si>' in said
    assert re.findall("<r>(.*?)</r>", said) == [
        '<t xml:space="preserve">house </t>',
        '<rPr><b/></rPr><t xml:space="preserve">red</t>',
        '<t xml:space="preserve"> The</t>',
    ]
    assert "rPh" not in said
    assert "<si><t>12</t></si><si><t>Yes</t></si>" in said
    sheet = member(found, SHEET)
    assert "water new" in sheet
    assert '<f>IF(A1="Yes","a word",A1)</f><v>a word</v>' in sheet
    assert "Old house" in member(found, "xl/workbook.xml")


def table(*columns: str, formula: str = "") -> dict[str, tuple[str, str]]:
    names = "".join(f"<tableColumn name='{name}'/>" for name in columns)
    content = f"<table xmlns='SHEET'><tableColumns>{names}</tableColumns>{formula}</table>"
    return {"xl/tables/table1.xml": ("spreadsheetml.table", content)}


def test_columns_of_tables_are_named_as_the_cells_above_them() -> None:
    strings = "<si><t>old bread</t></si><si><t>the price</t></si>"
    formula = "<calculatedColumnFormula>SUM(T1[the price])</calculatedColumnFormula>"
    more = table("old bread", "the price", formula=formula)
    found = rewritten("a.xlsx", xlsx_file(strings, "", more))
    assert re.findall('name="([^"]*)"', member(found, "xl/tables/table1.xml")) == [
        "OLD BREAD", "the price",
    ]  # fmt: skip
    assert "<t>the price</t>" in member(found, STRINGS)


def test_columns_of_a_table_never_get_the_same_name() -> None:
    more = table("red house", "house red")
    found = rewritten(
        "a.xlsx",
        xlsx_file("<si><t>red house</t></si><si><t>house red</t></si>", "", more),
        lambda text: ("a house", []),
    )
    assert "<t>red house</t>" in member(found, STRINGS)
    assert re.findall('name="([^"]*)"', member(found, "xl/tables/table1.xml")) == [
        "red house", "house red",
    ]  # fmt: skip


def test_lines_of_rich_strings() -> None:
    rich = "<si><r><t>one word\nAnother </t></r><r><rPr><b/></rPr><t>line</t></r></si>"
    said = member(rewritten("a.xlsx", xlsx_file(rich, ""), in_reverse), STRINGS)
    assert re.findall("<t[^>]*>([^<]*)", said) == ["word one", "\n", "line", " Another"]
