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
        ("In Turkey or C\xf4te d\u2019Ivoire", ["C\xf4te d\u2019Ivoire"]),
        # Names of something else, or parts of them.
        ("Canada Day, New Mexico, Northern Ireland, the Vienna Philharmonic", []),
        ("Chad and Michael Jordan drove to Georgia with a guinea pig", []),
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
        ("Islands", "de", "en", ("Iceland",)),
        ("Neuseeland", "de", "en", ("New Zealand",)),
        ("S\xfcdamerika", "de", "en", ("South America",)),
    ],
)
def test_forms(text: str, source: str, target: str, forms: tuple[str, ...]) -> None:
    [match] = PlaceNames(source, target).find(text)
    assert match.entry.targets == forms


@pytest.mark.parametrize(
    ("text", "source", "target", "said", "others"),
    [
        ("France", "en", "de", ["in Frankreich", "die franz\xf6sische", "Franzosen"], ["fremd"]),
        ("Asia", "en", "de", ["in Ostasien", "s\xfcdostasiatisch"], ["Oasien", "Phantasie"]),
        ("Denmark", "en", "de", ["D\xe4nen", "d\xe4nisch"], ["dann"]),
        ("Venice", "en", "de", ["venezianisch", "Venedigs"], ["in Venice"]),
        ("New Zealand", "en", "de", ["neuseel\xe4ndisch"], ["neues", "New Zealand"]),
        ("Spanien", "de", "en", ["Spain's", "the Spanish"], ["spare"]),
        ("Niederlande", "de", "en", ["the Dutch", "Netherlands", "Holland"], ["Niederlande"]),
        ("Neuseeland", "de", "en", ["New Zealanders"], ["new"]),
        ("Island", "de", "en", ["Icelandic"], ["the island"]),
        ("Rom", "de", "en", ["Rome", "the Romans"], ["from"]),
    ],
)
def test_what_names_a_place(
    text: str, source: str, target: str, said: list[str], others: list[str]
) -> None:
    [match] = PlaceNames(source, target).find(text)
    assert match.said is not None
    assert all(map(match.said.search, said))
    assert not any(map(match.said.search, others))
