"""Hard examples, in and out: where inline elements stand in a translation."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from model.text.markup.block import OBJECT
from model.text.markup.documents import read_document
from model.text.markup.rendering import Translated
from model.text_options import TextFormat, XmlStructure
from tests.unit.model.text.markup.word_translators import by_table, identity, rendered

html_document = partial(read_document, syntax=TextFormat.HTML)
xml_document = partial(read_document, syntax=TextFormat.XML)

EXAMPLES = {
    "around its word": (
        "<p>The <b>red</b> house is old.</p>",
        "Das rote Haus ist alt.",
        {"The": "Das", "red": "rote", "house": "Haus", "is": "ist", "old": "alt", ".": "."},
        "<p>Das <b>rote</b> Haus ist alt.</p>",
    ),
    "with words that change places": (
        "I have <b>read</b> the <i>book</i>.",
        "Ich habe das Buch gelesen.",
        {"I": "Ich", "have": "habe", "read": "gelesen", "the": "das", "book": "Buch", ".": "."},
        "Ich habe das <i>Buch</i> <b>gelesen</b>.",
    ),
    "nested": (
        "See <a href='/x'>the <b>full</b> report</a> now.",
        "Lesen Sie jetzt den ganzen Bericht.",
        {"See": "Lesen", "the": "den", "full": "ganzen", "report": "Bericht", "now": "jetzt",
         ".": "."},
        "Lesen Sie jetzt <a href='/x'>den <b>ganzen</b> Bericht</a>.",
    ),
    "apart from a punctuation mark behind it": (
        "Press <b>Start</b>, please.",
        "Bitte Start, drücken.",
        {"Press": "drücken", "Start": "Start,", "please": "Bitte", ".": "."},
        "Bitte <b>Start</b>, drücken.",
    ),
    "with its own punctuation mark": (
        "<b>Stop!</b> Do not enter.",
        "Halt! Nicht eintreten.",
        {"Stop": "Halt", "not": "Nicht", "enter": "eintreten", ".": "."},
        "<b>Halt!</b> Nicht eintreten.",
    ),
    "within quotation marks": (
        "Please confirm the '<x id=%1$@>Standard</x>' tariff.",
        "Bitte bestätigen Sie den Tarif 'Standard'.",
        {"Please": "Bitte", "confirm": "bestätigen", "the": "den", "'Standard'": "'Standard'",
         "tariff": "Tarif", ".": "."},
        "Bitte bestätigen Sie den Tarif '<x id=%1$@>Standard</x>'.",
    ),
    "within a word": (
        "E<sub>kin</sub> must stay below E<sub>max</sub> in H<sub>2</sub>O.",
        "In H2O muss Ekin unter Emax bleiben.",
        {"Ekin": "Ekin", "must": "muss", "stay": "bleiben", "below": "unter", "Emax": "Emax",
         " in": "In", "H2O": "H2O", ".": "."},
        "In H<sub>2</sub>O muss E<sub>kin</sub> unter E<sub>max</sub> bleiben.",
    ),
    "around two sentences": (
        "<em>It rains. We stay</em> at home.",
        "Es regnet. Wir bleiben zu Hause.",
        {"It": "Es", "rains": "regnet", ".": ".", "We": "Wir", "stay": "bleiben", "at": "zu",
         "home": "Hause"},
        "<em>Es regnet. Wir bleiben</em> zu Hause.",
    ),
    "around a range that an odd alignment does not widen": (
        "The <b>cat</b> sat on the big mat today.",
        "Die Katze saß heute auf der großen Matte Katze",
        {"The": "Die", "cat": "Katze|Katze", "sat": "saß", "on": "auf", "the": "der",
         "big": "großen", "mat": "Matte", "today": "heute"},
        "Die <b>Katze</b> saß heute auf der großen Matte Katze",
    ),
    "empty, where its word is lost": (
        "He is <i>just</i> a boy.",
        "Er ist ein Junge.",
        {"He": "Er", "is": "ist", "a": "ein", "boy": "Junge", ".": "."},
        "Er ist <i></i>ein Junge.",
    ),
    "code, to the character": (
        "Run <code>pip install -U &quot;demo[extra]&quot;</code> first.",
        f"Führen Sie zuerst {OBJECT} aus.",
        {"Run": "Führen", OBJECT: OBJECT, "first": "zuerst", ".": "."},
        "Führen Sie zuerst <code>pip install -U &quot;demo[extra]&quot;</code> aus.",
    ),
    "what is not translated": (
        'We use <span class="a notranslate">Big Apple</span> daily.',
        f"Wir nutzen täglich {OBJECT}.",
        {"We": "Wir", "use": "nutzen", OBJECT: OBJECT, "daily": "täglich"},
        'Wir nutzen täglich <span class="a notranslate">Big Apple</span>.',
    ),
    "references as they were": (
        "Tom & Jerry &amp; Spike &lt;3 caf&eacute;s",
        "Tom & Jerry & Spike <3 Cafés für RnD",
        {"Tom": "Tom", "Jerry": "Jerry"},
        "Tom & Jerry &amp; Spike &lt;3 Caf&eacute;s für RnD",
    ),
    "a sign that would be a tag": (
        "If a < b, stop.",
        "Wenn a <b ist, Halt.",
        {"If": "Wenn", "a": "a", "<": "<", "b": "b", "stop": "Halt"},
        "Wenn a &lt;b ist, Halt.",
    ),
    "a space that does not break": (
        "Wait 5&nbsp;min, then go.",
        "Warten Sie 5 min, dann gehen Sie.",
        {"Wait": "Warten", "5": "5", "min": "min", ",": ",", "then": "dann", "go": "gehen"},
        "Warten Sie 5&nbsp;min, dann gehen Sie.",
    ),
    "lines of the source": (
        "<p>\n  The shop is\n  open today.\n</p>",
        "Der Laden hat heute geöffnet.",
        {"The": "Der", "shop": "Laden", "is": "hat", "open": "geöffnet", "today": "heute",
         ".": "."},
        "<p>\n  Der Laden hat\n  heute geöffnet.\n</p>",
    ),
    "line breaks": (
        "Main St 5<br>Berlin <br/>\nGermany",
        "Hauptstr. 5\nBerlin \nDeutschland",
        {"Main": "Hauptstr", "5": "5", "Berlin": "Berlin", "Germany": "Deutschland"},
        "Hauptstr. 5<br>Berlin <br/>\nDeutschland",
    ),
    "an image before its word, a comment, a footnote": (
        'The <img src="a.png"> cat<sup><a href="#1">1</a></sup> sleeps <!-- now -->.',
        "Es schläft die Katze1.",
        {"The": "die", "cat": "Katze", "1": "1", "sleeps": "schläft", ".": "."},
        'Es schläft die <img src="a.png"> Katze<sup><a href="#1">1</a></sup><!-- now -->.',
    ),
    "a link at the end that comes first": (
        'We open tomorrow. <a href="https://a.example/?x=1&amp;y=2" class="mention">#<span>garden'
        "</span></a>",
        "Wir öffnen morgen. #Garten",
        {"We": "Wir", "open": "öffnen", "tomorrow": "morgen", ".": ".", "#": "#",
         "garden": "Garten"},
        'Wir öffnen morgen. <a href="https://a.example/?x=1&amp;y=2" class="mention">#<span>Garten'
        "</span></a>",
    ),
    "its word is where the model attended to a punctuation mark": (
        "I do <b>not</b> understand the question.",
        "Ich verstehe die Frage nicht.",
        {"I": "Ich", "understand": "verstehe", "the": "die", "question": "Frage", ".": "nicht"},
        "Ich verstehe die Frage <b>nicht</b>.",
    ),
    "with a small word beside its own that nothing else says": (
        "Sie hat beschlossen, Steuern <b>zu erhöhen</b>.",
        "She decided to raise taxes.",
        {"Sie": "She", "beschlossen": "decided", "Steuern": "taxes", "erhöhen": "raise", ".": "."},
        "She decided <b>to raise</b> taxes.",
    ),
    "on its own line": (
        "One <b>two<br>three</b> four<br><i>five</i>",
        "Eins zwei\ndrei vier\nfünf",
        {"One": "Eins", "two": "zwei", "three": "drei", "four": "vier"},
        "Eins <b>zwei<br>drei</b> vier<br><i>fünf</i>",
    ),
    "what a template writes": (
        "Good <em>morning</em>, <?= $name ?>!",
        f"Guten Morgen, {OBJECT}!",
        {"Good": "Guten", "morning": "Morgen", OBJECT: OBJECT},
        "Guten <em>Morgen</em>, <?= $name ?>!",
    ),
    "code that has lost its place": (
        "Run <code>a</code> and <b><code>b</code></b>.",
        f"Starten Sie {OBJECT} und.",
        {"Run": "Starten", "and": "und"},
        "Starten Sie <code>a</code> und<b><code>b</code></b>.",
    ),
    "letters of a script without spaces": (
        "The <b>red</b> house",
        "红色的房子",
        {"The": "的", "red": "红色", "house": "房子"},
        "<b>红色</b>的房子",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_element_stands(name: str) -> None:
    source, target, table, expected = EXAMPLES[name]
    document = html_document(source)
    (block,) = document.blocks
    assert identity(document) == source
    translated = rendered(document, [by_table(block, target, table)])
    assert translated == expected


def test_without_alignment_nothing_is_lost() -> None:
    document = html_document("The <b>red</b> <code>x y</code><img> house<br>is")
    translated = rendered(document, [Translated("Das rote Haus")])
    for kept in ("<b>", "</b>", "<code>x y</code>", "<img>", "<br>"):
        assert translated.count(kept) == 1


def test_blocks_are_translated_one_by_one() -> None:
    source = (
        '<!-- wp:heading {"level":2} -->\n<h2 class="wp-block-heading">Opening hours</h2>\n'
        "<!-- /wp:heading -->\n<!-- do not edit below --> <p>We are closed on <i>Sundays</i>.</p>\n"
        "<script>var a = 'No words';</script><pre>No words</pre>"
        '<ul><li>One<li>Two</ul><p translate="no">Nein<p>Three'
    )
    document = html_document(source)
    assert [block.text for block in document.blocks] == [
        "Opening hours", "We are closed on Sundays.", "One", "Two", "Three",
    ]  # fmt: skip
    translated = [Translated(text) for text in ("Zeiten", "Zu.", "Eins", "Zwei", "Drei")]
    assert rendered(document, translated) == source.replace("Opening hours", "Zeiten").replace(
        "We are closed on <i>Sundays</i>.", "<i>Zu</i>."
    ).replace("One", "Eins").replace("Two", "Zwei").replace("Three", "Drei")


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("<p>un<b>closed</p> text", ["un", "closed", "text"]),
        ("<b>a <i>b</b> c</i> d", ["a", "b", "c", "d"]),
        ("a </b> b", ["a", "b"]),
        ("text <a href='x", ["text"]),
        ("a<!-- b", ["a"]),
        ("<script>let a", []),
        ("<pre>no words <b>here", []),
        ("12 <b>%</b> - <i>+</i>", ["12 % - +"]),
        ("- <b>%</b>", []),
        ("<?php if ($a > 1) { ?>Yes<?php } ?>", ["Yes"]),
        ("<svg><text>Kept</text></svg> Yes", ["Yes"]),
        (
            "<noscript class=a><p>Please turn <b>on</b></p></NOSCRIPT> Yes",
            ["Please turn on", "Yes"],
        ),
        ("<?php echo '<script>' ?> Yes <![CDATA[ <title> ]]> and no", ["\ufffc Yes and no"]),
        ("<span translate=no>Acme <p>Ltd</p></span> Yes", ["Yes"]),
        ("<code>unclosed <b>Yes</b>", ["unclosed Yes"]),
        ("The <noscriptx>Yes</noscriptx>", ["The Yes"]),
        ("<x/>Hello", ["Hello"]),
    ],
)
def test_broken_and_odd_markup(source: str, texts: list[str]) -> None:
    document = html_document(source)
    assert [block.text for block in document.blocks] == texts
    assert identity(document) == source


@pytest.mark.parametrize(
    ("source", "syntax", "texts"),
    [
        ("<a><b>One</b><raw>Two <i>x</i></raw><b>Three</b></a>", "xml", ["One", "Three"]),
        ("<a>One <raw>two</raw> three</a>", "xml", ["One \ufffc three"]),
        ("<a>One <Raw>two</Raw> three</a>", "xml", ["One two three"]),
        ("<a>One<raw/> two</a><raw>x</raw>", "xml", ["One two"]),
        ("<p>One</p><RAW>Two <i>x</i></RAW><p>Three", "html", ["One", "Three"]),
        ("<p>One <raw>two</raw> three<h2>Four</h2>", "html", ["One \ufffc three"]),
        ("<h2><p>One</p> two</h2> three", "html", ["three"]),
        ("One <raw>two <b>three</b>", "html", ["One", "two three"]),
    ],
)
def test_elements_that_are_not_translated(source: str, syntax: str, texts: list[str]) -> None:
    document = read_document(source, TextFormat(syntax), ignored=["raw", "h2"])
    assert [block.text for block in document.blocks if block.text.strip("\ufffc ")] == texts
    assert identity(document) == source
    assert read_document(source, TextFormat(syntax), ignored=["no"]).blocks != ()


def test_xml_has_inline_elements_where_there_is_text() -> None:
    source = (
        '<?xml version="1.0"?>\n<doc><head lang="en">Title &lt; 3</head>\n'
        "<para>See <ref to='a'>the figure</ref> &mdash; now.<![CDATA[ <raw> ]]></para>"
        '<para translate="no">Nein</para><name its:translate="no">Nein</name></doc>'
    )
    document = xml_document(source)
    assert [block.text for block in document.blocks] == ["Title < 3", "See the figure now."]
    assert identity(document) == source


_TITLED = "<doc><title>A title</title><par>One sentence</par><par>in two <b>parts</b>.</par></doc>"


@pytest.mark.parametrize(
    ("source", "structure", "texts"),
    [
        (_TITLED, {}, ["A title", "One sentence", "in two parts."]),
        (_TITLED, {"non_splitting": "par"}, ["A title", "One sentence in two parts."]),
        (_TITLED, {"splitting": "b"}, ["A title", "One sentence", "in two", "parts"]),
        (_TITLED, {"detected": False}, ["A title One sentence in two parts."]),
        (
            _TITLED,
            {"detected": False, "splitting": "title"},
            ["A title", "One sentence in two parts."],
        ),
        (
            _TITLED,
            {"detected": False, "splitting": "title par", "non_splitting": "par"},
            ["A title", "One sentence", "in two parts."],
        ),
        ("<a>One<hl>two <i>x</i></hl>three<hl/>four</a>", {"splitting": "hl"},
         ["One", "two x", "three", "four"]),
        ("<a>One <Hl>two</Hl></a>", {"splitting": "hl"}, ["One two"]),
        ("<par>One </par>\n<par> two</par><par/>", {"non_splitting": "par"}, ["One two"]),
        ("<list><par>One</par></list><list><par>Two</par></list>", {"non_splitting": "list"},
         ["One", "Two"]),
        ("<par>One <raw>x</raw></par><par><raw>x</raw> two</par>", {"non_splitting": "par"},
         ["One \ufffc \ufffc two"]),
    ],
)  # fmt: skip
def test_elements_of_xml_that_part_a_text_or_do_not(
    source: str, structure: dict[str, Any], texts: list[str]
) -> None:
    names = {
        name: frozenset(value.split()) if isinstance(value, str) else value
        for name, value in structure.items()
    }
    document = xml_document(source, structure=XmlStructure(**names), ignored=["raw"])
    assert [block.text for block in document.blocks] == texts
    assert identity(document) == source
    for block in document.blocks:
        assert "".join(source[begin:end] or " " for begin, end in block.spans).split() == (
            block.text.replace("\ufffc", "<raw>x</raw>").split()
        )


def test_a_sentence_goes_on_in_the_next_element() -> None:
    source = "<par>I have read</par><par>the red book.</par>"
    document = xml_document(source, structure=XmlStructure(non_splitting=frozenset({"par"})))
    table = {"I": "Ich", "have": "habe", "read": "gelesen", "the": "das", "red": "rote",
             "book": "Buch", ".": "."}  # fmt: skip
    translated = by_table(document.blocks[0], "Ich habe gelesen das rote Buch.", table)
    assert rendered(document, [translated]) == (
        "<par>Ich habe gelesen</par><par>das rote Buch.</par>"
    )
    # Words that stand within one element now stay two.
    moved = by_table(document.blocks[0], "Gelesen habe ich das rote Buch.", {"red": "rote"})
    text = rendered(document, [moved]).replace("<par>", "").replace("</par>", " ")
    assert " ".join(text.split()) == "Gelesen habe ich das rote Buch."


def test_text_that_stays_as_it_is_is_not_written_anew() -> None:
    source = "<title>a <b> &#x1 & b</title>"
    document = html_document(source)
    assert rendered(document, [Translated(document.blocks[0].text)]) == source


def test_a_sign_of_the_text_itself_is_no_element() -> None:
    document = html_document("The \ufffc <code>x</code> sign")
    (block,) = document.blocks
    assert rendered(document, [Translated(block.text.replace("The", "Das"))]) == (
        "Das \ufffc <code>x</code> sign"
    )


def test_entities_of_xml_do_not_grow() -> None:
    names = "abcdefgh"
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(names))
    source = f'<!DOCTYPE r [<!ENTITY a "ha">{entities}]><r>Text &h; <b x="y">and</b></r>'
    document = xml_document(source)
    assert [block.text for block in document.blocks] == ["Text and"]
    assert identity(document) == source
