"""Names of places, and what is said by words made of them."""

from __future__ import annotations

import re

import pytest

from model.text.place_spellings import forms, names_by_place, said_by

PATTERNS: dict[str, dict[str, re.Pattern[str]]] = {
    language: {
        place: said_by(place, language, names_by_place(other)[place])
        for place in names_by_place(language).keys() & names_by_place(other).keys()
    }
    for language, other in (("en", "de"), ("de", "en"))
}
BOTH_SAY = {
    # In English as well.
    "en": {"Athens", "Hannover", "N\xfcrnberg", "Peking", "Z\xfcrich"},
    "de": {"Ascension Island", "Beijing", "Kyiv", "Tokyo"},
}
ONE_WITHIN_ANOTHER = {
    "en": {"Dominican Republic", "French Guiana", "French Polynesia", "French Southern Territories",
           "Guinea-Bissau", "Niger"},
    "de": {"Franz\xf6sisch-Guayana", "Franz\xf6sisch-Polynesien", "Guinea-Bissau"},
}  # fmt: skip


def saying(word: str, language: str) -> set[str]:
    return {place for place, said in PATTERNS[language].items() if said.match(word)}


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_place_is_said_by_its_own_names(language: str) -> None:
    for place, said in PATTERNS[language].items():
        for name in names_by_place(language)[place]:
            assert said.match(name)
            assert place == "Athens" or all(map(said.match, forms(name, language)))


@pytest.mark.parametrize(("language", "other"), [("en", "de"), ("de", "en")])
def test_no_place_is_said_by_what_another_language_calls_it(language: str, other: str) -> None:
    """Those are what a model leaves as it is."""
    for place, said in PATTERNS[language].items():
        for name in set(names_by_place(other)[place]) - set(names_by_place(language)[place]):
            for form in {*forms(name, other), f"{name}'s", f"{name}s"}:
                is_said = said.match(form) is not None
                assert is_said <= (name in BOTH_SAY[language] or form in BOTH_SAY[language]), form


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_place_is_said_by_the_name_of_another(language: str) -> None:
    for place, names in names_by_place(language).items():
        for name in names:
            others = saying(name, language) - {place}
            same = {other for other in others if name in names_by_place(language)[other]}
            assert others - same == set() or name in ONE_WITHIN_ANOTHER[language], (name, others)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "de",
            "wie rot Roman genau genug General schwer Schwester Monat Kanal Kamera Kameraden Euro"
            " Polizei politisch indem Industrie individuell fremd spannend Kind irgend T\xfcr dann"
            " Norden Marke Perle jemand Kenner liberal genial Oasien Phantasie Insel",
        ),
        (
            "en",
            "police political pole polish children came camera hungry individual dance cypress"
            " color municipal romance from spare switch Green turkey than norm person woman canal"
            " finish Euro island Indeed",
        ),
    ],
)
def test_no_place_is_said_by_common_words(language: str, words: str) -> None:
    assert not any(saying(word, language) for word in words.split())


@pytest.mark.parametrize(
    ("language", "place", "words"),
    [
        ("de", "FR", "franz\xf6sische Franzosen Frankreichs S\xfcdfrankreich"),
        ("de", "DK", "D\xe4nen d\xe4nisch"),
        ("de", "GR", "Griechen griechischen Griechinnen"),
        ("de", "SE", "Schweden Schwede schwedischer"),
        ("de", "142", "Ostasien s\xfcdostasiatisch asiatische"),
        ("de", "NZ", "neuseel\xe4ndische Neuseel\xe4nder"),
        ("de", "Venice", "venezianische Venedigs"),
        ("de", "Munich", "M\xfcnchner M\xfcnchens"),
        ("en", "ES", "Spain's Spanish Spaniards"),
        ("en", "NL", "Dutch Dutchman Netherlands Holland"),
        ("en", "FR", "French Frenchwoman France's"),
        ("en", "NZ", "Zealander"),
        ("en", "AL", "Albanian Albanians"),
        ("en", "CN", "Chinese"),
        ("en", "Rome", "Romans Rome's"),
    ],
)
def test_a_place_is_said_by_who_or_what_is_from_there(
    language: str, place: str, words: str
) -> None:
    for word in words.split():
        whole = f"New {word}" if word == "Zealander" else word
        assert place in saying(whole, language), whole


def test_africa_is_not_said_by_south_africa() -> None:
    assert not PATTERNS["de"]["002"].match("S\xfcdafrika")
    assert PATTERNS["de"]["002"].match("Nordafrika")
