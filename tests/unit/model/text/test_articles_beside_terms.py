"""English articles fit the terms of a glossary that have taken the place of other words."""

from __future__ import annotations

from itertools import pairwise

import pytest

from model.text.alignment import target_spans
from model.text.runs import Reading, Rendered, Replaced, RunReader
from tests.unit.model.text.tiny_tokenizer import train_tiny_tokenizer

TOKENIZER = train_tiny_tokenizer(byte_fallback=True)
SOURCE = "Das ist etwas."


def _rendered(
    translation: str, *terms: tuple[str, str], target: str = "en", all_caps: bool = False
) -> Rendered:
    return _with_tokens(translation, *terms, target=target, all_caps=all_caps)[0]


def _with_tokens(
    translation: str, *terms: tuple[str, str], target: str = "en", all_caps: bool = False
) -> tuple[Rendered, list[int]]:
    """A translation in which words are replaced by terms, in their order, and its tokens."""
    token_ids: list[int] = []
    replaced = []
    rest = translation
    for word, term in terms:
        before, _, rest = rest.partition(f" {word}")
        token_ids += TOKENIZER.tokenize(before.strip()) if before.strip() else []
        first = len(token_ids)
        token_ids += TOKENIZER.tokenize(word)
        replaced.append(Replaced((0, 3), term, first, len(token_ids)))
    token_ids += TOKENIZER.tokenize(rest.strip())
    reader = RunReader(TOKENIZER, placeholders=False, target=target)
    reading = Reading(SOURCE, SOURCE, all_caps)
    return reader.rendered(reading, token_ids, [], replaced), token_ids


@pytest.mark.parametrize(
    ("translation", "terms", "expected"),
    [
        ("I see a pear here", [("pear", "apple")], "I see an apple here"),
        ("I see an apple here", [("apple", "pear")], "I see a pear here"),
        ("A car is here", [("car", "owl")], "An owl is here"),
        ("An apple is here", [("apple", "useful hour")], "A useful hour is here"),
        ("a car and an owl wait", [("car", "owl"), ("owl", "car")], "an owl and a car wait"),
        ("vitamin A pear is here", [("pear", "apple")], "vitamin A apple is here"),
        ("it is a good car now", [("car", "owl")], "it is a good owl now"),
        ("see a car now", [("car", "NATO")], "see a NATO now"),
        ("see plan a car now", [("plan a", "plan a"), ("car", "owl")], "see plan a owl now"),
        ("an old/a car waits", [("car", "owl")], "an old/a owl waits"),
        ("it goes: A car", [("car", "owl")], "it goes: An owl"),
        ("one. \u201cA car waits", [("car", "owl")], "one. \u201cAn owl waits"),
        ('the "red" A car', [("car", "owl")], 'the "red" A owl'),
    ],
)
def test_the_article_fits(translation: str, terms: list[tuple[str, str]], expected: str) -> None:
    found = _rendered(translation, *terms)
    assert found.text == expected
    shown = {found.text[part.begin : part.end] for part in found.parts if part.run is not None}
    assert shown == {term for _, term in terms}
    begun = [part.begin for part in found.parts]
    assert begun == sorted(begun)
    assert found.parts[-1].end == len(found.text)
    for before, after in pairwise(found.parts):
        assert before.end <= after.begin
        assert not found.text[before.end : after.begin].strip()


@pytest.mark.parametrize(
    ("translation", "terms", "said"),
    [
        ("see a car now and my house", [("car", "owl")], "see an owl now and my house"),
        ("see an apple now", [("apple", "pear")], "see a pear now"),
    ],
)
def test_each_token_is_where_its_letters_are(
    translation: str, terms: list[tuple[str, str]], said: str
) -> None:
    text, spans = target_spans(TOKENIZER, *reversed(_with_tokens(translation, *terms)))
    assert text == said
    assert [begin for begin, _ in spans] == sorted(begin for begin, _ in spans)
    assert spans[-1][1] == len(text)
    found = {text[slice(*span)].strip() for span in spans}
    assert terms[0][1] in found
    assert max(end for begin, end in spans if begin < text.index(terms[0][1])) < text.index(
        terms[0][1]
    )


def test_in_capitals_it_has_some() -> None:
    found = _rendered("see a car now", ("car", "elephant"), all_caps=True)
    assert found.text == "SEE AN ELEPHANT NOW"


def test_other_languages_have_their_own() -> None:
    assert _rendered("see a car now", ("car", "owl"), target="pt").text == "see a owl now"
