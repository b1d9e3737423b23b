"""Numbers are the same numbers in either language's way of writing them."""

import pytest

from model.training.robustness.cases import Language
from model.training.robustness.numbers import numbers_kept, same_numbers


@pytest.mark.parametrize(
    ("source", "translation", "target"),
    [
        ("It costs 1,234.50 euros.", "Es kostet 1.234,50 Euro.", "de"),
        ("Es kostet 1.234,50 Euro.", "It costs 1,234.50 euros.", "en"),
        ("2,500,000 people", "2 500 000 Menschen", "de"),
        ("0.25 percent", "0,25 Prozent", "de"),
        ("3,5 %", "3.5%", "en"),
        ("at 7:45", "um 7.45 Uhr", "de"),
        ("at 5 pm", "um 17 Uhr", "de"),
        ("at 5:30 p.m.", "um 17:30 Uhr", "de"),
        ("um 17:00 Uhr", "at 5 o'clock", "en"),
        ("um 20:15 Uhr", "at 8:15 p.m.", "en"),
        ("um 8.15 Uhr", "at 8:15", "en"),
        ("12/24/2025", "am 24. Dezember 2025", "de"),
        ("24.12.2025", "December 24, 2025", "en"),
        ("12 eggs", "zwölf Eier", "de"),
        ("26 days", "sechsundzwanzig Tage", "de"),
        ("71 years", "einundsiebzig Jahre", "de"),
        ("34 Jahre", "thirty-four years", "en"),
        ("the 21st", "der 21.", "de"),
        ("the 21st", "am einundzwanzigsten", "de"),
        ("the 3rd time", "zum dritten Mal", "de"),
        ("der 22.", "the twenty-second", "en"),
        ("3 times", "dreimal", "de"),
        ("1 beer", "ein Bier", "de"),
        ("7 dwarfs", "sieben Zwerge", "de"),
        ("-15 degrees", "minus 15 Grad", "de"),
        ("1,2,3", "1, 2, 3", "de"),
        ("1,234 o'clock, 99:1 and 3'30 pm", "1,234 Uhr, 99:1 und 3'30 Uhr", "de"),
        ("no numbers", "keine", "de"),
    ],
)
def test_kept(source: str, translation: str, target: Language) -> None:
    assert numbers_kept(source, translation, target)


@pytest.mark.parametrize(
    ("source", "translation", "target"),
    [
        ("15%", "50 %", "de"),
        ("1.5 liters", "15 Liter", "de"),
        ("20 apples", "20.000 Äpfel", "de"),
        ("2,500,000 people", "2.500 Menschen", "de"),
        ("from 3 to 5", "von 3", "de"),
        ("at 5 pm", "um 18 Uhr", "de"),
        ("at 5 pm", "um 7 Uhr", "de"),
        ("17 apples", "5 Äpfel", "de"),
        ("um 17 Uhr", "at 7", "en"),
        ("26 days", "sechzig Tage", "de"),
        ("12 eggs", "Eier", "de"),
        ("1,5 kg", "5 kg", "en"),
        ("5 kg", "1,5 kg", "de"),
    ],
)
def test_lost(source: str, translation: str, target: Language) -> None:
    assert not numbers_kept(source, translation, target)


def test_portuguese_counts_centuries_in_roman_numerals_and_thousands_in_words() -> None:
    assert numbers_kept("the 19th century", "o século XIX", "pt")
    assert not numbers_kept("the 19th century", "o século XX", "pt")
    assert numbers_kept("cerca de 24 mil casas", "about 24,000 houses", "en")


def test_numbers_that_all_texts_have_once_are_told_in_their_orders() -> None:
    german = "Am 8. Mai kamen 1.234 Leute, 2,5 % mehr, und 7 von 7 blieben 3 Tage."
    english = "1,234 people came on 8 May, 2.5 % more, and 7 of 7 stayed for three days."
    assert same_numbers(german, english) == [["8", "1234", "2.5"], ["1234", "8", "2.5"]]
    assert same_numbers("5", "6", "5") == [[], [], []]
