"""Catalogs of messages: gettext and XLIFF."""

from __future__ import annotations

import io
import re

import pytest
from babel.messages.pofile import read_po

from service.documents.document import DocumentOptions
from service.documents.errors import DamagedDocumentError
from tests.document_words import Changed, in_capitals, in_reverse, rewritten

PO = r"""# A title.
msgid ""
msgstr ""
"Project-Id-Version: x 1\n"
"Language: fr\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"
"Content-Type: text/plain; charset=UTF-8\n"
"X-Own: kept\n"

#. a remark
#: src/a.c:12
#, c-format
msgctxt "menu"
msgid "open %s\n"
msgstr ""

msgid "one word"
msgstr "un mot"

#, fuzzy
#| msgid "an old word"
msgid "a new word"
msgstr "un vieux mot"

#, python-brace-format
msgid "{count} house"
msgid_plural "{count} houses"
msgstr[0] ""
msgstr[1] ""

msgid ""
"a long text that has been wrapped by the program that wrote the catalog, so "
"that it has two lines"
msgstr ""

#~ msgid "gone"
#~ msgstr "parti"
"""


def po(target: str | None, text: str = PO, **options: object) -> str:
    told = DocumentOptions(target=target, **options)  # type: ignore[arg-type]
    return rewritten("a.po", text.encode(), options=told, change=in_words).decode()


def in_words(text: str) -> Changed:
    """In capitals, placeholders aside."""
    parts = re.split(r"(%s|\{count\})", text)
    return "".join(part if part[:1] in "%{" else part.upper() for part in parts), []


def test_a_catalog() -> None:
    found = po("fr")
    expected = PO.replace('"open %s\\n"\nmsgstr ""', '"open %s\\n"\nmsgstr "OPEN %s\\n"')
    expected = expected.replace('#, fuzzy\n#| msgid "an old word"\n', "")
    expected = expected.replace("un vieux mot", "A NEW WORD")
    expected = expected.replace('msgstr[0] ""', 'msgstr[0] "{count} HOUSE"')
    expected = expected.replace('msgstr[1] ""', 'msgstr[1] "{count} HOUSES"')
    head, _, tail = expected.partition('has two lines"\nmsgstr ""\n')
    expected = head + 'has two lines"\nmsgstr ""\n' \
        '"A LONG TEXT THAT HAS BEEN WRAPPED BY THE PROGRAM THAT WROTE THE CATALOG, SO "\n' \
        '"THAT IT HAS TWO LINES"\n' + tail  # fmt: skip
    assert found == expected


def test_plural_forms_of_the_language() -> None:
    found = po("pl")
    assert '"Language: pl\\n"' in found
    assert "nplurals=3;" in found
    assert '#, fuzzy, python-brace-format\nmsgid "{count} house"' in found
    assert found.count('"{count} HOUSES"') == 2
    catalog = read_po(io.BytesIO(found.encode()))
    assert catalog.num_plurals == 3
    message = catalog.get("{count} house")
    assert message is not None
    assert len(message.string) == 3
    assert 'msgstr[0] "{count} HOUSES"\n\nmsgid ""' in po("ja")


def test_all_messages() -> None:
    assert 'msgstr "ONE WORD"' in po("fr", retranslate=True)
    assert 'msgstr "un mot"' in po("fr")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("_File", "_FILE"), ("save &As", "&SAVE AS"), ("a_b", "A_B"), ("_one _two", "_ONE _TWO"),
        ("&amp; more", "&AMP; MORE"), ("R & D", "R & D"),
    ],
)  # fmt: skip
def test_the_letter_that_a_program_underlines(source: str, expected: str) -> None:
    text = f'msgid "{source}"\nmsgstr ""\n'
    assert po("de", text) == f'msgid "{source}"\nmsgstr "{expected}"\n'


def test_a_lost_placeholder_is_marked() -> None:
    text = '#, c-format\nmsgid "open %d files"\nmsgstr ""\n'
    found = rewritten("a.po", text.encode(), lambda _: ("alles", []))
    assert found.decode() == '#, fuzzy, c-format\nmsgid "open %d files"\nmsgstr "alles"\n'


@pytest.mark.parametrize(
    "text",
    [
        "some text\n",
        '"a"\n',
        'msgid "a\nmsgstr ""\n',
        'msgid "a"\nmsgid_plural "b"\nmsgid_plural "c"\n',
    ],
)
def test_what_is_no_catalog_is_refused(text: str) -> None:
    with pytest.raises(DamagedDocumentError, match="must be a gettext catalog"):
        po("fr", text)


XLIFF = """<?xml version='1.0' encoding='UTF-8'?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2">
 <file original="a" source-language="en" target-language="xx" datatype="plaintext"><body>
  <trans-unit id="1">
   <source>The <g id="1">red</g> house<x id="2"/> is old.</source>
  </trans-unit>
  <trans-unit id="2"><source>one word</source><target>ein Wort</target></trans-unit>
  <trans-unit id="3" translate="no"><source>Name here</source></trans-unit>
  <trans-unit id="4"><source>a <bpt id="1">&lt;b></bpt>bold<ept id="1">&lt;/b></ept> word</source>
   <target state="new">a bold word</target></trans-unit>
  <trans-unit id="5"><source>One. Two.</source>
   <seg-source><mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two.</mrk></seg-source>
  </trans-unit>
 </body></file>
</xliff>"""


def test_xliff_1() -> None:
    options = DocumentOptions(target="de")
    found = rewritten("a.xlf", XLIFF.encode(), in_reverse, options).decode()
    assert 'target-language="de"' in found
    assert (
        '<source>The <g id="1">red</g> house<x id="2"/> is old.</source>\n'
        '   <target state="translated">old is <x id="2"/>house <g id="1">red</g> The.</target>\n'
    ) in found.replace('house<x id="2"/> <g', '<x id="2"/>house <g')
    assert "<target>ein Wort</target>" in found
    assert "<source>Name here</source></trans-unit>" in found
    assert (
        '<target state="translated">word <bpt id="1">&lt;b&gt;</bpt>bold'
        '<ept id="1">&lt;/b&gt;</ept> a'
        "</target>"
    ) in found
    assert (
        '<target state="translated"><mrk mtype="seg" mid="1">One.</mrk> '
        '<mrk mtype="seg" mid="2">Two.'
        "</mrk></target>"
    ) in found
    everything = DocumentOptions(target="de", retranslate=True)
    assert (
        ">word one</target>" in rewritten("a.xlf", XLIFF.encode(), in_reverse, everything).decode()
    )


XLIFF_2 = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0"
 srcLang="en" trgLang="xx">
 <file id="f"><unit id="1">
  <segment><source>The <pc id="1">red</pc> house<ph id="2"/></source></segment>
  <ignorable><source> </source></ignorable></unit>
 <unit id="2" translate="no"><segment><source>Name</source></segment></unit></file></xliff>"""


def test_xliff_2() -> None:
    found = rewritten(
        "a.xliff", XLIFF_2.encode(), in_reverse, DocumentOptions(target="de")
    ).decode()
    assert 'trgLang="de"' in found
    assert '<segment state="translated"><source>' in found
    assert '<target>house <pc id="1">red</pc> The<ph id="2"/></target></segment>' in found
    assert found.count("<target") == 1


@pytest.mark.parametrize("text", ["<xliff>", "<html/>", "text", ""])
def test_what_is_no_xliff_is_refused(text: str) -> None:
    with pytest.raises(DamagedDocumentError):
        rewritten("a.xliff", text.encode())


def test_capitals_are_found() -> None:
    assert in_capitals("a b")[0] == "A B"
