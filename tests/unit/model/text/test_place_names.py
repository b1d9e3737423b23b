"""Countries, continents and cities: which are found, and what names them elsewhere."""

from __future__ import annotations

import pytest

from model.text.place_names import PlaceNames


def found(text: str, source: str, target: str) -> list[str]:
    return [text[each.begin : each.end] for each in PlaceNames(source, target).find(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Cyprus is an island.", ["Cyprus"]),
        ("From Papua New Guinea to New Zealand", ["Papua New Guinea", "New Zealand"]),
        ("the north of Africa, Chile's coast; Venice!", ["Africa", "Chile", "Venice"]),
        ("Visit Venice, or did Qatar?", ["Venice", "Qatar"]),
        ("In Turkey or C\xf4te d\u2019Ivoire", ["C\xf4te d\u2019Ivoire"]),
        # Names of something else, or parts of them.
        ("Canada Day, New Mexico, Northern Ireland, the Vienna Philharmonic", []),
        ("Chad and Michael Jordan drove to Georgia with a guinea pig", []),
        ("Milan is my brother. Naples, Florida, is warm. Cyprus' beaches", []),
        ("China-based, Indian, Europeans, INDIA, peru, Romeo", []),
        # Those of several words in German: they have too many forms.
        ("the United States, the United Kingdom, the Dominican Republic", []),
    ],
)
def test_names_of_english(text: str, wanted: list[str]) -> None:
    assert found(text, "en", "de") == wanted
    assert found(text, "en-GB", "de-AT") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Zypern ist eine Insel, Island auch.", ["Zypern", "Island"]),
        ("Deutschlands Nachbarn, in den Niederlanden", ["Deutschlands", "Niederlanden"]),
        ("Aus Rom, K\xf6ln und der T\xfcrkei", ["Rom", "K\xf6ln", "T\xfcrkei"]),
        ("Die Hauptstadt Kasachstans, die Insel Zypern", ["Kasachstans", "Zypern"]),
        ("Wei\xdfrussland, Elfenbeink\xfcste", ["Wei\xdfrussland", "Elfenbeink\xfcste"]),
        ("Der Fall Frankreich, Frankreich-Reise, Nord-Korea, Italiener, Romane", []),
        ("die Vereinigten Staaten, das Vereinigte K\xf6nigreich", []),
    ],
)
def test_names_of_german(text: str, wanted: list[str]) -> None:
    assert found(text, "de", "en") == wanted


def test_none_are_found_in_what_is_taken() -> None:
    text = "von Rom nach Wien"
    [match] = PlaceNames("de", "en").find(text, [(12, len(text))])
    assert text[match.begin : match.end] == "Rom"
    assert match.entry.targets == ("Rome",)


@pytest.mark.parametrize(
    ("source", "target"), [("fr", "en"), ("en", "fr"), ("de", "ja"), ("en", "en"), ("pt", "de")]
)
def test_none_are_found_between_other_languages(source: str, target: str) -> None:
    assert found("Berlin, Rome, Rom, Chile, Europa", source, target) == []


@pytest.mark.parametrize(
    ("text", "source", "target", "forms"),
    [
        ("Azerbaijan", "en", "de", ("Aserbaidschan", "Aserbaidschans")),
        ("Switzerland", "en", "de", ("Schweiz",)),
        ("Netherlands", "en", "de", ("Niederlande", "Niederlanden")),
        # Else "Naples" would be replaced by "Neapels", for both end in -s.
        ("Naples", "en", "de", ("Neapel",)),
        ("Philippines", "en", "de", ("Philippinen",)),
        ("Tschechien", "de", "en", ("Czech Republic", "Czechia")),
        ("Islands", "de", "en", ("Iceland", "Iceland's")),
        ("Neuseeland", "de", "en", ("New Zealand",)),
        ("S\xfcdamerika", "de", "en", ("South America",)),
    ],
)
def test_forms(text: str, source: str, target: str, forms: tuple[str, ...]) -> None:
    [match] = PlaceNames(source, target).find(text)
    assert match.entry.targets == forms
