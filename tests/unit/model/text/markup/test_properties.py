"""What holds for any document. `--hypothesis-profile=many` tries 10,000 of each kind."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turbohtml import TokenType, tokenize

from model.text.markup.block import OBJECT
from model.text.markup.documents import read_document
from model.text.markup.html_reader import read_html
from model.text.markup.rendering import Translated
from model.text.markup.tokens import Kind
from model.text_options import TextFormat, XmlStructure
from tests.unit.model.text.markup.word_translators import identity, rendered, shuffled, unchanged

html_document = partial(read_document, syntax=TextFormat.HTML)
xml_document = partial(read_document, syntax=TextFormat.XML)

MANY = settings(max_examples=max(100, settings().max_examples), deadline=None)

WORDS = st.sampled_from(
    [
        *("Haus", "house,", "red.", "12", "don't", "E=mc²", "東京", "&amp;", "&lt;", " < ", " & "),
        *("ä", "&auml;", "(", ")", '"', "„so“", "😀", "R&amp;D", "a&b"),
    ]
)
SPACES = st.sampled_from([" ", " ", " ", "", "\n  ", "  ", "\t", "&nbsp;", "\xa0", "\r\n"])
POINTS = st.sampled_from(
    ["<!-- c -->", "<img src=x>", "<br>", "<i></i>", "<input name='a>b'>", "<?pi x?>", "<br/>"]
)
INLINE = st.sampled_from(["b", "i", "a", "span", "x-y", "sub", "EM"])
VERBATIM = st.sampled_from(
    [
        "<code>a < b</code>",
        "<kbd>Ctrl</kbd>",
        '<b translate="no">Acme  &amp; Co</b>',
        "<code></code>",
    ]
)
BLOCK = st.sampled_from(["p", "div", "li", "h1", "td", "blockquote"])
KEPT = st.sampled_from(
    [
        "<script>if (a < b) c('</p>');</script>",
        "<pre>  x <b>y</b>\n</pre>",
        "<style>a > b {}</style>",
        "<!DOCTYPE html>",
        '<div class="x notranslate">Nein <p>nein</p></div>',
        "<hr>",
        "<textarea>&lt;</textarea>",
        "<![CDATA[ a > b ]]>",
    ]
)


def _joined(parts: list[str]) -> str:
    return "".join(parts)


def _element(name: str, content: str) -> str:
    return f'<{name} id="1">{content}</{name}>'


TEXT = st.lists(st.one_of(WORDS, SPACES), max_size=6).map(_joined)
PHRASE = st.recursive(
    st.one_of(TEXT, TEXT, POINTS, VERBATIM),
    lambda inner: st.one_of(
        st.builds(_element, INLINE, inner), st.lists(inner, max_size=4).map(_joined)
    ),
    max_leaves=12,
)
DOCUMENTS = st.recursive(
    st.one_of(st.builds(_element, BLOCK, PHRASE), PHRASE, KEPT),
    lambda inner: st.one_of(
        st.builds(_element, BLOCK, inner), st.lists(inner, max_size=4).map(_joined)
    ),
    max_leaves=12,
)
SOUP = st.lists(
    st.one_of(
        WORDS,
        SPACES,
        POINTS,
        VERBATIM,
        KEPT,
        st.sampled_from(
            [
                *("<b>", "</b>", "<i>", "</i>", "<p>", "</p>", "<code>", "</code>", "<a ", "</a"),
                *("<!--", "-->", "<script>", "</script>", "<pre>", "</pre>", "<", ">", "</"),
                *("&am", "&#", "<b/>", "<?x", "<![CDATA[", "]]>", "<svg>", "</svg>", "\0"),
            ]
        ),
    ),
    max_size=20,
).map(_joined)


def _tags(source: str) -> Counter[str]:
    # Of a tag, the white space before a line feed is the tokenizer's.
    tokens = tokenize(source.replace("\r\n", " \n"), resolve_references=False, capture_source=True)
    return Counter(
        token.source or ""
        for token in tokens
        if token.type not in (TokenType.TEXT, TokenType.CHARACTER_REFERENCE)
    )


def _tree(source: str) -> Counter[tuple[str, ...]]:
    """How often each path of elements is there."""
    path: list[str] = []
    paths: Counter[tuple[str, ...]] = Counter()
    for token in tokenize(source):
        if token.type is TokenType.START_TAG:
            if token.tag in ("img", "br", "input", "hr"):
                paths[(*path, token.tag)] += 1
                continue
            path.append(token.tag or "")
            paths[tuple(path)] += 1
        elif token.type is TokenType.END_TAG:
            assert path.pop() == token.tag
    assert not path
    return paths


@MANY
@given(source=DOCUMENTS)
def test_a_document_with_its_own_texts_written_anew_is_itself(source: str) -> None:
    assert identity(html_document(source)) == source


@MANY
@given(source=st.one_of(SOUP, st.text()))
def test_anything_with_its_own_texts_is_itself(source: str) -> None:
    document = html_document(source)
    assert rendered(document, map(unchanged, document.blocks)) == source


@MANY
@given(source=DOCUMENTS, random=st.randoms(use_true_random=False))
def test_a_tree_keeps_its_elements_and_each_protected_string(source: str, random: Random) -> None:
    document = html_document(source)
    translated = rendered(document, [shuffled(block, random) for block in document.blocks])
    assert _tags(translated) == _tags(source)
    assert _tree(translated) == _tree(source)


@MANY
@given(source=SOUP, random=st.randoms(use_true_random=False))
def test_broken_markup_comes_back_with_its_tags(source: str, random: Random) -> None:
    document = html_document(source)
    translated = rendered(document, [shuffled(block, random) for block in document.blocks])
    assert _tags(translated) == _tags(source)


@pytest.mark.parametrize("source", ["</><img src=x>12", "<>a</> <b title='</>'>red</b> car"])
def test_an_end_tag_without_a_name_is_one_of_them(source: str) -> None:
    document = html_document(source)
    assert rendered(document, map(unchanged, document.blocks)) == source
    assert {"=", "'"}.isdisjoint("".join(block.text for block in document.blocks))


def _visible(source: str) -> str:
    texts = (token for token in read_html(source) if token.kind in (Kind.TEXT, Kind.REFERENCE))
    return "".join("".join(token.text for token in texts).split())


def _shown(translated: Translated) -> str:
    return "".join(translated.text.replace(OBJECT, "").split())


@MANY
@given(source=DOCUMENTS, random=st.randoms(use_true_random=False))
def test_translations_are_all_there_in_their_order(source: str, random: Random) -> None:
    document = html_document(source)
    translations = [shuffled(block, random) for block in document.blocks]
    remaining = iter(translations)
    wanted = "".join(
        _visible(part) if isinstance(part, str) else _shown(next(remaining))
        for part in document.parts
    )
    assert _visible(rendered(document, translations)) == wanted


XML = st.recursive(
    st.one_of(
        st.lists(
            st.sampled_from(["Haus ", "&amp;", "&#228;", "&nbsp;", "\n ", "red.", "]]&gt;", "ä"]),
            max_size=5,
        ).map(_joined),
        st.sampled_from(
            [
                "<!-- c -->",
                "<x/>",
                "<![CDATA[a > b]]>",
                '<b translate="no">Acme <c/></b>',
                "<?p q?>",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.builds(_element, INLINE, inner), st.lists(inner, max_size=4).map(_joined)
    ),
    max_leaves=15,
)


NAMES = st.frozensets(st.sampled_from(["b", "i", "a", "span", "x", "EM"]), max_size=3)
STRUCTURES = st.builds(XmlStructure, NAMES, NAMES, st.booleans())


@MANY
@given(
    source=XML,
    structure=st.one_of(st.just(XmlStructure()), STRUCTURES),
    random=st.randoms(use_true_random=False),
)
def test_xml_stays_well_formed(source: str, structure: XmlStructure, random: Random) -> None:
    document = xml_document(source, structure=structure)
    assert identity(document) == source
    xml_document(rendered(document, [shuffled(block, random) for block in document.blocks]))
