"""Which terms of a glossary a sentence has, and how they are written."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.glossary import Glossary, LetterCase, cased, folded
from model.text_options import GlossaryEntry

ENTRIES = [
    GlossaryEntry("cat", ("Mieze",)),
    GlossaryEntry("New York", ("Neu-York",)),
    GlossaryEntry("York Times Company", ("Verlag",)),
    GlossaryEntry("Straße", ("street",)),
    GlossaryEntry("Apple", ("Apple",), case_sensitive=True),
    GlossaryEntry("apple", ("Apfel",)),
    GlossaryEntry("café", ("Kaffeehaus",)),
    GlossaryEntry("don't", ("nicht",)),
    GlossaryEntry("C++", ("C++",)),
    GlossaryEntry("猫", ("cat",)),
]
PLAIN, CAPITALS, CAPITALIZED = LetterCase(), LetterCase(capitals=True), LetterCase(False, True)


def found(sentence: str) -> list[tuple[str, str]]:
    return [
        (sentence[match.begin : match.end], match.entry.source)
        for match in Glossary(ENTRIES).find(sentence)
    ]


@pytest.mark.parametrize(
    ("sentence", "terms"),
    [
        ("The cat, cat's cat-like cats in concatenation: cat", ["cat"] * 4),
        ("in New  York or New\u00a0York", ["New  York", "New\u00a0York"]),
        ("the New York Times Company", ["York Times Company"]),
        ("DIE STRASSE, die straße", ["STRASSE", "straße"]),
        ("a cafe\u0301, a CAFÉ, two cafés", ["cafe\u0301", "CAFÉ"]),
        ("I don\u2019t", ["don\u2019t"]),
        ("C++, not C+++ or xC++", ["C++", "C++"]),
        ("黒猫がいる", ["猫"]),
        ("a c\xadat\xad here", ["c\xadat\xad"]),
        ("cat_1 catégorie cat\u0301", ["cat"]),
        ("", []),
        ("nothing", []),
    ],
)
def test_terms_are_found_as_words_of_their_own(sentence: str, terms: list[str]) -> None:
    assert [written for written, _ in found(sentence)] == terms


def test_case_tells_entries_apart_where_one_asks_for_it() -> None:
    assert found("Apple eats an apple, APPLE") == [
        ("Apple", "Apple"), ("apple", "apple"), ("APPLE", "apple"),
    ]  # fmt: skip
    only = Glossary([GlossaryEntry("US", ("USA",), case_sensitive=True)])
    assert [match.begin for match in only.find("US and us")] == [0]


def test_the_case_of_a_term_is_known() -> None:
    matches = Glossary(ENTRIES).find("Cat, CAT, a Cat and a cat")
    assert [match.case for match in matches] == [PLAIN, CAPITALS, CAPITALIZED, PLAIN]
    [nato] = Glossary([GlossaryEntry("NATO", ("Nato",))]).find("the NATO")
    assert nato.case == PLAIN


@pytest.mark.parametrize(
    ("form", "case", "first", "expected"),
    [
        ("gato", PLAIN, False, "gato"),
        ("gato", PLAIN, True, "Gato"),
        ("gato", CAPITALIZED, False, "Gato"),
        ("straße", CAPITALS, False, "STRASSE"),
        ("iPhone", PLAIN, False, "iPhone"),
        ("Gato", PLAIN, True, "Gato"),
    ],
)
def test_forms_take_the_case_of_their_place(
    form: str, case: LetterCase, first: bool, expected: str
) -> None:
    assert cased(form, case, first=first) == expected


def test_what_is_taken_has_no_terms() -> None:
    assert Glossary(ENTRIES).find("my cat", [(2, 4)]) == ()
    assert len(Glossary(ENTRIES).find("my cat", [(0, 2)])) == 1


@given(st.text(alphabet="ca t\u0301ǅßİ\xad猫'+C", max_size=40))
def test_matches_are_apart_and_say_their_term(sentence: str) -> None:
    at = 0
    for match in Glossary(ENTRIES).find(sentence):
        assert at <= match.begin < match.end <= len(sentence)
        assert folded(sentence[match.begin : match.end])[0] == folded(match.entry.source)[0]
        at = match.end


def test_work_grows_with_the_characters_and_not_with_the_entries() -> None:
    class Counting(dict[str, list[GlossaryEntry]]):
        looked_up = 0

        def get(self, key: str, default: object = None) -> Any:
            Counting.looked_up += 1
            return super().get(key, default)

    counts = []
    for size in (10, 1000):
        entries = [GlossaryEntry(f"term number {n:03} of it", ("x",)) for n in range(size)]
        glossary = Glossary(entries)
        glossary._entries = Counting(glossary._entries)
        Counting.looked_up = 0
        assert len(glossary.find("no term number 007 of it " * 100)) == 100
        counts.append(Counting.looked_up)
    assert counts[0] == counts[1] == 100  # one length, at each word that begins as a term does


def test_a_large_glossary_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        entries = [GlossaryEntry(f"{n:03}" + "abcdefghij" * 9, ("x",)) for n in range(1000)]
        before, _ = tracemalloc.get_traced_memory()
        glossary = Glossary(entries)
        assert tracemalloc.get_traced_memory()[0] - before < 2_000_000
    finally:
        tracemalloc.stop()
    assert [match.entry for match in glossary.find(entries[7].source)] == [entries[7]]


@given(
    st.lists(st.text(alphabet="ca t\u0301ßS猫'-", min_size=1, max_size=6), max_size=8),
    st.lists(st.text(alphabet="caT \n\u0301ßS猫\u2019-", max_size=30), max_size=3),
)
def test_with_the_entries_that_are_in_texts_the_same_is_found(
    terms: list[str], texts: list[str]
) -> None:
    entries = [GlossaryEntry(term, ("x",), bool(n % 2)) for n, term in enumerate(terms)]
    all_of_them = Glossary(entries)
    some = Glossary(all_of_them.entries_in(texts))
    for text in texts:
        assert some.find(text) == all_of_them.find(text)
        half = text[: len(text) // 2].rpartition(" ")[0]
        assert some.find(half) == all_of_them.find(half)
