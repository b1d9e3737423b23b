"""What is wrong is found and named; what is right, however it is put, is left alone."""

from typing import Any

import pytest

from model.training.robustness.cases import Case, Language
from model.training.robustness.checks import FAILURES, failures, is_loop


def found(text: str, translation: str, target: Language = "de", **expected: Any) -> list[str]:
    return failures(Case(text=text, **expected), translation, target)


@pytest.mark.parametrize("nothing", ["", "  \n"])
def test_an_empty_translation_is_only_that(nothing: str) -> None:
    assert found("The 3 cats!", nothing, keep=("3",), negated=True) == ["empty"]


@pytest.mark.parametrize(
    ("text", "translation", "failure"),
    [
        ("The Wi-Fi password?", "Das Wi-Fi-Fi-Fi-Passwort?", "repetition"),
        ("It costs 4.80 euros.", "Es kostet 4,90 Euro.", "numbers"),
        ("The whole long sentence is about to be lost.", "Der Satz.", "length"),
        ("Yes", "Ja, das ist ein Satz, den niemand hören wollte.", "length"),
        ("I will come home tomorrow.", "I will come home tomorrow.", "untranslated"),
        ("Good luck 🍀", "Viel Glück", "emoji"),
    ],
)
def test_every_text_is_checked(text: str, translation: str, failure: str) -> None:
    assert found(text, translation) == [failure]
    assert failure in FAILURES


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("No, no, no!", "Nein, nein, nein!"),
        ("Yes", "Jawohl"),
        ("In Hamburg is a hotel.", "In Hamburg ist ein Hotel."),
        ("Good luck 🍀", "Viel Glück 🍀"),
        ("HELLO WORLD", "HALLO WELT"),
        ("HELLO WORLD", "Hallo Welt"),
    ],
)
def test_what_is_right_passes(text: str, translation: str) -> None:
    assert found(text, translation) == []


def test_capitals_that_are_copied_in_part() -> None:
    assert found("WHERE IS THE STATION?", "WHERE IS TTATION?") == ["case"]
    assert found("Where is the Station?", "Where is der Bahnhof?") == []
    assert found("I AM IN NEW YORK", "ICH BIN IN NEW YORK", keep=("New York",)) == []


def test_a_text_that_may_stay_as_it_is() -> None:
    assert found("Guten Morgen", "Guten Morgen") == ["untranslated"]
    assert found("Guten Morgen", "Guten Morgen", copied=True) == []
    assert found("GUTEN MORGEN", "GUTEN MORGEN", copied=True) == []


def test_names_do_not_count_as_copied() -> None:
    assert found("Peter Miller", "Peter Miller") == ["untranslated"]
    assert found("Peter Miller", "Peter Miller", keep=("Peter", "Miller")) == []


def test_what_must_be_kept_and_said() -> None:
    expected: dict[str, Any] = {"keep": ("Anna",), "says": ("Freund|Kumpel",)}
    assert found("anna is a friend", "Anna ist eine Freundin", **expected) == []
    assert found("anna is a friend", "Anna ist ein kumpel", **expected) == []
    assert found("anna is a friend", "Sie ist eine Bekannte", **expected) == ["keep", "says"]


def test_short_words_must_begin_a_word() -> None:
    assert found("red wine", "Roter Wein", says=("rot",)) == []
    assert found("red wine", "Brot und Wein", says=("rot",)) == ["says"]
    assert found("the station", "Der Hauptbahnhof", says=("bahnhof",)) == []


def test_marks_are_no_patterns() -> None:
    assert found("See you :)", "Bis dann :)", keep=(":)",)) == []
    assert found("a **b**", "ein b", keep=("**",)) == ["keep"]


def test_what_must_not_be_said() -> None:
    assert found("Stop it!", "Come on, hör auf!", never=("come on",)) == ["never"]


@pytest.mark.parametrize(
    ("translation", "target", "is_negated"),
    [
        ("Ich habe keinen Hund.", "de", True),
        ("Niemand kommt.", "de", True),
        ("Das ist die Nichte.", "de", False),
        ("Sie kniet.", "de", False),
        ("I don\u2019t know.", "en", True),
        ("I cannot know.", "en", True),
        ("A knot in a note", "en", False),
    ],
)
def test_negation(translation: str, target: Language, is_negated: bool) -> None:
    text = "x" * len(translation)
    assert found(text, translation, target, negated=is_negated) == []
    assert found(text, translation, target, negated=not is_negated) == ["negation"]
    assert found(text, translation, target) == []


@pytest.mark.parametrize(
    "translation",
    [
        "blau, schwarz, schwarz, schwarz",
        "das Haus und das Haus und das Haus und",
        "Dadadadadada",
        "Ein Mann mit einem Hut, ein Mann mit einem Ball, ein Mann mit einem Hund",
    ],
)
def test_loops(translation: str) -> None:
    assert is_loop("a man in a house", translation)
    assert not is_loop(translation, translation)


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("very, very cold", "sehr, sehr, sehr kalt"),
        ("those who know the people", "die, die Leute kennen"),
        ("a man and a man", "ein Mann und ein Mann"),
        ("oh noooooo", "ach neiiiiiin"),
    ],
)
def test_no_loops(source: str, translation: str) -> None:
    assert not is_loop(source, translation)
