"""Roman numerals are numbers behind names, and said in many ways."""

from __future__ import annotations

import pytest

from model.text.roman_numerals import RomanNumerals


@pytest.mark.parametrize(
    ("sentence", "numerals"),
    [
        ("Chapters IV\u2013VII cover Henry VIII and Louis XIV.", ["IV", "VII", "VIII", "XIV"]),
        ("Rocky II and III, Part XXIV & XXV", ["II", "III", "XXIV", "XXV"]),
        ("Ludwig XIV. und Papst Johannes Paul II. in Kapitel XL", ["XIV", "II", "XL"]),
        ("The IV drip, he was in II, I am, Malcolm X, Mr. LL, Mr. IIII", []),
        ("CHAPTER IV IS LOST", []),
        ("Elizabeth II's son, Type II-B, Type III-IV", ["II", "III", "IV"]),
    ],
)
def test_behind_names(sentence: str, numerals: list[str]) -> None:
    found = RomanNumerals("de").find(sentence)
    assert [sentence[each.begin : each.end] for each in found] == numerals
    assert [each.entry.targets for each in found] == [(numeral,) for numeral in numerals]


def test_not_where_something_is_kept() -> None:
    assert RomanNumerals("de").find("Henry VIII and Louis XIV", [(6, 10)])[0].begin == 21


def test_not_into_languages_whose_numbers_are_not_known() -> None:
    assert RomanNumerals("ja").find("Henry VIII") == ()


@pytest.mark.parametrize(
    ("target", "numeral", "translations", "others"),
    [
        ("de", "VIII", ["Heinrich VIII.", "der 8.", "Heinrich der Achte", "des Achten"], ["VIIII"]),
        ("de", "II", ["Zweiter Weltkrieg", "im Zweiten Weltkrieg", "2. Weltkrieg"], ["III", "12"]),
        ("en", "III", ["the third", "Richard III", "the 3rd", "part three"], ["the 13th", "VIII"]),
        ("en", "XXIV", ["XXIV", "the 24th", "24"], ["XXV", "124"]),
        ("en", "LXXXIX", ["89"], ["110", "LXXX"]),
    ],
)
def test_what_says_it(
    target: str, numeral: str, translations: list[str], others: list[str]
) -> None:
    [term] = RomanNumerals(target).find(f"Name {numeral}")
    assert term.said is not None
    for translation in translations:
        assert term.said.search(translation), translation
    for other in others:
        assert not term.said.search(other), other
