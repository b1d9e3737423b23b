"""Values of attributes, descriptions of images and titles of links: which are read, and written."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from turbohtml import tokenize

from model.text.markup.attributes import with_attributes
from model.text.markup.documents import read_document
from model.text_options import TextFormat

HTML, XML, MARKDOWN = TextFormat.HTML, TextFormat.XML, TextFormat.MARKDOWN
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def texts(source: str, syntax: TextFormat) -> list[str]:
    return [each.block.text for each in read_document(source, syntax, attributes=True).attributes]


def written(source: str, syntax: TextFormat, translations: list[str]) -> str:
    return with_attributes(source, read_document(source, syntax, attributes=True), translations)


@pytest.mark.parametrize(
    ("syntax", "source", "expected"),
    [
        (HTML, '<img alt="a dog"><p title=car id="a">x</p>', ["a dog", "car"]),
        (HTML, '<img translate="no" alt="Acme"><i class="notranslate" title="Acme">x</i>', []),
        (XML, '<a title="a dog"><b alt=\'big &amp; red &#228;\'/>x</a>', ["a dog", "big & red ä"]),
        (XML, '<x:a x:label="a dog" id="one" href="two"/>', ["a dog"]),
        (XML, '<a><b translate="no" title="Acme"/><c translate="no" alt="x">y</c></a>', []),
        (XML, '<a title="a &known; dog"/><!-- <a title="x y"/> -->', []),
        (XML, '<a title="x > y"/><![CDATA[<a title="no"/>]]>', ["x > y"]),
        (MARKDOWN, '![a *big* dog](a.png) ![a dog](a.png "A photo")', ["a dog", "A photo"]),
        (MARKDOWN, "[a](</a b> 'the \\'old\\' book') [x](y (a car))", ["the 'old' book", "a car"]),
        (MARKDOWN, '![a dog][b] ![b] ![b][]\n\n[b]: /a.png "My pet"\n', ["a dog", "My pet"]),
        (MARKDOWN, "[![a dog](a.png \"one\")](b \"two\")", ["a dog", "one", "two"]),
        (MARKDOWN, '| a | ![a \\| b](c "d \\| e") |\n|---|---|\n| f | g |', ["a | b", "d | e"]),
        (MARKDOWN, '<img alt="a dog"> x <i title="a car">x</i>\n', ["a dog", "a car"]),
        (MARKDOWN, '<div title="y z">q</div>\n', ["y z"]),
        (MARKDOWN, '```\n![a dog](b "c d")\n[e]: f "g h"\n```\n\n`![a dog](b)`\n', []),
        (MARKDOWN, "![a dog](<b)\n![a\ndog](b)\n", []),
    ],
)  # fmt: skip
def test_what_is_read(syntax: TextFormat, source: str, expected: list[str]) -> None:
    assert texts(source, syntax) == expected
    assert texts(source.replace("\n", "\r\n"), syntax) == expected
    assert written(source, syntax, expected) == source


@pytest.mark.parametrize(
    ("syntax", "source"),
    [
        (HTML, '<p>a <RAW title="x y">b</RAW> <raw title="x y"></raw><h2 title="x y">c</h2>'),
        (XML, '<a>a <raw title="x y">b</raw> <raw title="x y"/><h2 title="x y"><b/></h2></a>'),
    ],
)
def test_elements_that_are_not_translated_keep_their_attributes(
    syntax: TextFormat, source: str
) -> None:
    assert texts(source, syntax) == ["x y"] * 3
    document = read_document(source, syntax, attributes=True, ignored=["raw", "h2"])
    assert document.attributes == ()


@pytest.mark.parametrize(
    ("syntax", "source", "translation", "expected"),
    [
        (HTML, '<img alt="a dog ">', 'ein "Hund"', '<img alt="ein &quot;Hund&quot; ">'),
        (HTML, "<p title=car>", "ein Auto", '<p title="ein Auto">'),
        (XML, "<a title='a dog'/>", "a < b & 'c'", "<a title='a &lt; b &amp; &#39;c&#39;'/>"),
        (XML, '<a title=" a &amp; b "/>', "x & y & z", '<a title=" x &amp; y &amp; z "/>'),
        (MARKDOWN, "![a dog](b)", "[x](y) `z` *a* \\", "![\\[x\\](y) \\`z\\` \\*a\\* \\\\](b)"),
        (MARKDOWN, '[x](y "a car")', 'a "b" \\', '[x](y "a \\"b\\" \\\\")'),
        (MARKDOWN, '[x](y (a "car"))', 'a (b) "c"', '[x](y (a \\(b\\) "c"))'),
        (MARKDOWN, "[x](y 'it\\'s &amp; &auml;')", "'a' & ä", "[x](y '\\'a\\' &amp; &auml;')"),
    ],
)
def test_how_it_is_written(
    syntax: TextFormat, source: str, translation: str, expected: str
) -> None:
    assert written(source, syntax, [translation]) == expected


SIGNS = st.text(st.sampled_from(list("ab ä\"'()[]<>&\\`*_|!#~-+.1:;=")), min_size=1, max_size=12)
PICTURES = st.sampled_from(
    [
        'See ![a dog](b.png "My dog") and *more*.',
        "> [x *y*](/z 'the car') `code`\n",
        "| a ![one dog](b) | c |\n|---|---|\n| [d](e (my f)) | g |\n",
        '![a dog][r]\n\n- [x][r]\n\n[r]: /u "the title"\n',
    ]
)


def _shown(source: str) -> list[tuple[str, str, list[str]]]:
    """Blocks and inline elements, without what images and links are called."""
    return [
        (
            token.type,
            child.type,
            [str(value) for name, value in child.attrs.items() if name in ("href", "src")],
        )
        for token in PARSER.parse(source)
        for child in token.children or [token]
        if child.type not in ("text", "text_special")
    ]


@settings(max_examples=max(300, settings().max_examples))
@given(source=PICTURES, signs=st.lists(SIGNS, min_size=2, max_size=2))
def test_no_sign_of_a_translation_is_markup(source: str, signs: list[str]) -> None:
    found = texts(source, MARKDOWN)
    translations = [each.strip() or "x" for each in signs][: len(found)]
    assert len(found) == 2 or "[d]" not in source
    translations += ["x"] * (len(found) - len(translations))
    translated = written(source, MARKDOWN, translations)
    assert _shown(translated) == _shown(source)
    values = [
        each
        for token in PARSER.parse(translated)
        for child in token.children or ()
        for each in ([child.content] if child.type == "image" else []) + [child.attrs.get("title")]
    ]
    assert len([value for value in values if value]) >= len(found)


@settings(max_examples=max(100, settings().max_examples))
@given(
    text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    quote=st.sampled_from("\"'"),
)
def test_a_value_is_what_was_translated(text: str, quote: str) -> None:
    source = f"<a title={quote}a dog{quote}>x</a>"
    [tag, *_] = tokenize(written(source, HTML, [text]))
    assert tag.attr("title") == text
    read_document(written(source, XML, [text]), XML)


def test_attributes_of_a_shuffled_page_are_written_in_their_places() -> None:
    random = Random(1)
    page = "".join(f'<p title="text {n}">words</p>' for n in range(50))
    translations = [f"wort {n} " + "x" * random.randrange(9) for n in range(50)]
    assert texts(written(page, HTML, translations), HTML) == [each.strip() for each in translations]
