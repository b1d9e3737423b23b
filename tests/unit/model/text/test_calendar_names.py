"""Days of the week and months: which of a sentence are found, and what names them elsewhere."""

from __future__ import annotations

import pytest

from model.text.calendar_names import CalendarNames


def found(text: str, source: str, target: str) -> list[str]:
    return [text[each.begin : each.end] for each in CalendarNames(source, target).find(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("See you on Monday or Tuesday.", ["Monday", "Tuesday"]),
        (
            "Monday, (Sunday), On Friday I go, Monday's talks",
            ["Monday", "Sunday", "Friday", "Monday"],
        ),
        ("in May, late March, mid-June", ["May", "March", "June"]),
        ("at the end of September, a friend of June, the government of May", ["September"]),
        ("every Wednesday in February", ["Wednesday", "February"]),
        # Names, or parts of them.
        ("Good Friday, Black Friday, the Sunday Times, Monday Night Football", []),
        ("Friday-night, Fridays, MONDAY, friday, Mondayish", []),
        ("April said that June may march. May I? The March of Time. August Wilson", []),
        # Beside digits.
        ("June 5, 5 June, in May 2006, July, 2020, of March 4", []),
    ],
)
def test_names_of_english(text: str, wanted: list[str]) -> None:
    assert found(text, "en", "de") == wanted
    assert found(text, "en-GB", "pt-BR") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Am Donnerstag, ist morgen Sonnabend?", ["Donnerstag", "Sonnabend"]),
        ("(Samstag) Jeden Montag und diesen Sonntag", ["Samstag", "Montag", "Sonntag"]),
        ("der Mai, im August, Anfang Juli, seit J\xe4nner", ["Mai", "August", "Juli", "J\xe4nner"]),
        ("am 10. November, 16./17. M\xe4rz, 3 Mai 2006", ["November", "M\xe4rz", "Mai"]),
        ("Frau Sonntag, Herr Freitag, Robert Freitag, Montagabend, sonntags, Karfreitag", []),
        ("August M\xfcller, Juni, Maifeier, im Mai-Heft, Oktoberfest", []),
    ],
)
def test_names_of_german(text: str, wanted: list[str]) -> None:
    assert found(text, "de", "en") == wanted
    assert found(text, "de-AT", "fr") == wanted


def test_none_are_found_in_what_is_taken() -> None:
    text = "am Montag, dem 3. Mai"
    [match] = CalendarNames("de", "en").find(text, [(14, len(text))])
    assert text[match.begin : match.end] == "Montag"
    assert match.entry.targets == ("Monday",)


@pytest.mark.parametrize(
    ("source", "target"), [("fr", "en"), ("en", "ru"), ("de", "ja"), ("en", "en"), ("de", "tlh")]
)
def test_none_are_found_between_other_languages(source: str, target: str) -> None:
    assert found("am Montag, on Monday, lundi", source, target) == []


@pytest.mark.parametrize(
    ("text", "source", "target", "said", "others"),
    [
        (
            "Friday",
            "en",
            "de",
            ["Karfreitag", "freitags", "FREITAG", "am Fr. um zehn", "Mo-Fr"],
            ["frei"],
        ),
        ("Saturday", "en", "de", ["Samstag", "am Sonnabend"], ["Sonntag", "Sa"]),
        ("Monday", "en", "pt", ["na segunda-feira", "Segunda"], ["segundo", "feira"]),
        ("Monday", "en", "fr", ["lundi"], ["lune"]),
        (
            "Sonnabend",
            "de",
            "en",
            ["Saturdays", "on Sat. at ten", "Sat-Sun"],
            ["Sat down", "Sunday"],
        ),
        ("im Mai", "de", "en", ["in May", "May's", "5/12", "12/05", "12-5"], ["it may", "Mayor"]),
        ("im September", "de", "en", ["Sept. 2", "Sep 2", "Sept 2"], ["septic"]),
        ("im Juni", "de", "en", ["June", "12/06/2020"], ["6 people", "16/26"]),
        ("in June", "en", "de", ["Juni", "Junis", "Juninacht", "am 3.6.", "3. 6."], ["Junior"]),
        ("in January", "en", "de", ["J\xe4nner", "Januarwoche", "Jan. 3"], ["Janus", "am 3.10."]),
        ("in March", "en", "fr", ["mars", "Mars"], ["marche"]),
    ],
)
def test_what_names_it(
    text: str, source: str, target: str, said: list[str], others: list[str]
) -> None:
    [match] = CalendarNames(source, target).find(text)
    assert match.said is not None
    assert [each for each in said if not match.said.search(each)] == []
    assert [each for each in others if match.said.search(each)] == []
