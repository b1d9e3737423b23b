"""Text files: plain, Markdown, HTML, JSON, tables; all but what is translated stays as it is."""

from __future__ import annotations

import codecs
import json

import pytest

from service.documents.document import Document, DocumentOptions
from service.documents.errors import DamagedDocumentError, DocumentError
from service.documents.formats import find_format
from tests.document_words import in_reverse, rewritten


def read(name: str, text: str, options: DocumentOptions | None = None) -> Document:
    return find_format(name).read(text.encode(), options or DocumentOptions())


def capitals(name: str, text: str, **options: object) -> str:
    told = DocumentOptions(**options)  # type: ignore[arg-type]
    return rewritten(name, text.encode(), options=told).decode()


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("cp1252", b""),
    ],
)
def test_an_encoding_is_found_and_kept(encoding: str, mark: bytes) -> None:
    text = "\r\n  Die Bäckerei öffnet um sechs Uhr, und die Straße ist müde.\r\n\r\nGrün.\r\n"
    found = rewritten("a.txt", mark + text.encode(encoding), in_reverse)
    assert found.startswith(mark)
    assert found[len(mark) :].decode(encoding) == (
        "\r\n  Grün müde ist Straße die und, Uhr sechs um öffnet Bäckerei.\r\n\r\nDie.\r\n"
    )


def test_what_an_encoding_lacks_is_written_in_utf_8() -> None:
    text = "Der Bäcker öffnet die Tür und grüßt die müden Gäste."
    found = rewritten("a.txt", text.encode("cp1252"), lambda _: ("Доброе утро", []))
    assert found.decode() == "Доброе утро"


@pytest.mark.parametrize("data", [b"\0\1\2\3\xff\xfe\x80" * 50, b"\xff\xfea", b"abc\0def"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedDocumentError, match="must be text"):
        rewritten("a.txt", data)


def test_a_long_text_is_read_in_parts() -> None:
    paragraphs = [f"Paragraph {number} says that the old house is red.\n" for number in range(200)]
    document = read("a.txt", "\n".join(paragraphs))
    assert 3 < len(document.units) < 12
    assert all(len(unit.text) < 2000 for unit in document.units)
    lines = "A line without an end of its paragraph, which goes on.\n" * 1000
    assert all(len(unit.text) < 8200 for unit in read("a.txt", lines).units)
    assert capitals("a.txt", "\n".join(paragraphs)) == "\n".join(paragraphs).upper()


def test_wrapped_paragraphs_are_wrapped_again() -> None:
    text = "The animal did not cross the street because\nit was much too tired for that.\n"
    found = rewritten("a.txt", text.encode(), in_reverse).decode()
    assert [len(line) > 25 for line in found.splitlines()] == [True, True]
    assert " ".join(found.split()).startswith("that for tired")


def test_markdown_in_parts_knows_what_links_refer_to() -> None:
    section = "## The *red* house\n\nSee [the page][page] or `code`.\n\n- an item\n\n  goes on\n\n"
    text = "---\ntitle: kept\n---\n\n" + section * 60 + '[page]: https://example.org/a "A b"\n'
    document = read("a.md", text)
    assert len(document.units) > 2
    found = capitals("a.md", text)
    assert found == (
        text.replace("The *red* house", "THE *RED* HOUSE").replace("See ", "SEE ")
        .replace("the page", "THE PAGE").replace(" or ", " OR ").replace("an item", "AN ITEM")
        .replace("goes on", "GOES ON")
    )  # fmt: skip


def test_a_part_of_markdown_never_ends_within_code() -> None:
    code = "```\ncode\n\nmore code\n```\n"
    text = (code + "Text of a paragraph behind it.\n\n") * 150
    assert capitals("a.md", text) == text.replace(
        "Text of a paragraph behind it", "TEXT OF A PARAGRAPH BEHIND IT"
    )


def test_a_page_keeps_its_markup_and_says_its_language() -> None:
    paragraph = (
        '<p class="a">The <b>red</b> house &amp; more.</p>\n<script>let a = "text";</script>\n'
    )
    text = f'<!DOCTYPE html>\n<html lang="en"><title>A title</title>\n{paragraph * 60}</html>\n'
    assert len(read("a.html", text).units) > 2
    found = capitals("a.html", text, target="de")
    assert found == (
        text.replace('lang="en"', 'lang="de"').replace("A title", "A TITLE")
        .replace("The <b>red</b> house", "THE <b>RED</b> HOUSE").replace("more.", "MORE.")
    )  # fmt: skip


def test_a_page_in_the_encoding_that_it_declares() -> None:
    page = '<meta charset="iso-8859-1"><p title="grün">schön</p>'
    found = rewritten("a.htm", page.encode("latin-1"), lambda _: ("Ж ö", []))
    assert found == '<meta charset="iso-8859-1"><p title="&#1046; ö">&#1046; ö</p>'.encode(
        "latin-1"
    )


JSON = """{
  "title" : "old house", "count": 1.50, "url":"12",
   "menu": {"file": {"title": "new\\nword", "hint": "a \\"hint\\" <b>here</b>"},
   "file.open": "x y"},
  "list": ["one word", {"title": "deep"}, true, null],\t"empty": ""
}
"""


def test_strings_of_json() -> None:
    found = capitals("a.json", JSON)
    assert found == (
        JSON.replace("old house", "OLD HOUSE").replace("new\\nword", "NEW\\nWORD")
        .replace('a \\"hint\\" <b>here</b>', 'A \\"HINT\\" <b>HERE</b>').replace('"x y"', '"X Y"')
        .replace("one word", "ONE WORD").replace('"deep"', '"DEEP"')
    )  # fmt: skip
    json.loads(found)


@pytest.mark.parametrize(
    ("keys", "translated"),
    [
        (("title",), ["old house", "new\\nword", "deep"]),
        (("menu.*.title",), ["new\\nword"]),
        (("list",), ["one word"]),
        (("list.1.title", "file.open"), ["deep", "x y"]),
        (("menu.file.open",), ["x y"]),
        (("nothing",), []),
    ],
)
def test_keys_of_json(keys: tuple[str, ...], translated: list[str]) -> None:
    expected = JSON
    for text in translated:
        expected = expected.replace(f'"{text}"', '"' + text.upper().replace("\\N", "\\n") + '"')
    assert capitals("a.json", JSON, keys=keys) == expected


@pytest.mark.parametrize("text", ['{"a": "gr\\u00fcn"}', '{"a": "\\ud800 text"}', '"grün"'])
def test_how_json_spells_characters(text: str) -> None:
    expected = {'{"a": "gr\\u00fcn"}': '{"a": "GR\\u00dcN"}', '"grün"': '"GRÜN"'}.get(text, text)
    assert capitals("a.json", text) == expected


@pytest.mark.parametrize(
    "text", ["{", '{"a": "b",}', "[" * 100_000, "[" * 300 + "]" * 300, "", "NaN,"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(DamagedDocumentError):
        capitals("a.json", text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_of_a_table(delimiter: str) -> None:
    text = (
        'id,the name,"a ""text"""\r\n1,red house,"old, ""new"" one"\r\n2,"line one\nline two",\r\n'
        "3, word ,12"
    ).replace(",", delimiter)
    found = capitals("a.csv", text)
    assert found == (
        'id,the name,"a ""text"""\r\n1,RED HOUSE,"OLD, ""NEW"" ONE"\r\n2,"LINE ONE\nLINE TWO",\r\n'
        "3, WORD ,12"
    ).replace(",", delimiter)


def test_columns_of_a_table() -> None:
    text = "code;name;note\na b;red;old\nc d;green;new\n"
    expected = "code;name;note\na b;RED;old\nc d;GREEN;new\n"
    assert capitals("a.csv", text, columns=("name",)) == expected
    assert capitals("a.csv", text, columns=("2",)) == expected
    assert capitals("a.csv", text, columns=("2",), header=False) == expected.replace("name", "NAME")
    for column in ("price", "4", "0"):
        with pytest.raises(
            DocumentError, match="a column must be a name in the first line or a nu"
        ):
            capitals("a.csv", text, columns=(column,))


def test_a_translation_with_the_delimiter_is_quoted() -> None:
    found = rewritten("a.csv", b"a,b\none,two\n", lambda _: ('x, "y"', []))
    assert found == b'a,b\n"x, ""y""","x, ""y"""\n'


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.txt", "Two words.", 10),
        ("a.txt", "\n\nTwo words.\n\n\n  Three more words.\r\n \r\n", 10 + 17),
        ("a.txt", "One sentence\nin two lines.\n", 26),
        ("a.txt", "\n \n", 0),
        ("a.csv", "a,b\nTwo words.,Three more words.\n", 10 + 17),
        ("a.json", '["Two words.", "", "12"]', 10),
    ],
)
def test_characters_that_count(name: str, text: str, count: int) -> None:
    document = read(name, text)
    assert document.num_characters == count
    assert sum(batch.num_characters for batch in document.batches()) == count
