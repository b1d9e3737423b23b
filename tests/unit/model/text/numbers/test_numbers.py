"""Numbers of many languages, and how others write them."""

from __future__ import annotations

import re
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.numbers import find, recognition, words, written
from model.text.numbers.conventions import Conventions
from model.text.numbers.recognition import DIGIT_LIKE
from model.text.numbers.values import Clock, Compound, Date, Ordinal, Quantity, Unchanged

_CLDR = {
    "en": "1,234,567.89", "de": "1.234.567,89", "pt": "1.234.567,89", "es": "1.234.567,89",
    "it": "1.234.567,89", "nl": "1.234.567,89", "da": "1.234.567,89", "zh": "1,234,567.89",
    "ja": "1,234,567.89", "ar": "1,234,567.89", "hi": "12,34,567.89", "de-CH": "1’234’567.89",
    "fr": "1\u202f234\u202f567,89", "pl": "1\xa0234\xa0567,89", "ru": "1\xa0234\xa0567,89",
    "sv": "1\xa0234\xa0567,89", "fa": "۱٬۲۳۴٬۵۶۷٫۸۹", "bn": "১২,৩৪,৫৬৭.৮৯", "tr": "1.234.567,89",
}  # fmt: skip


@pytest.mark.parametrize("target", _CLDR)
@pytest.mark.parametrize("source", _CLDR)
def test_a_number_is_read_and_written_as_each_language_does(source: str, target: str) -> None:
    text = f"x {_CLDR[source]} y"

    (number,) = find(text, source)

    assert isinstance(number.value, Quantity)
    assert (number.value.whole, number.value.fraction) == ("1234567", "89")
    assert text[number.begin : number.end] == number.text == _CLDR[source]
    assert written(number, target)[0] == _CLDR[target]


@pytest.mark.parametrize(
    ("source", "target", "text", "forms"),
    [
        ("de", "en", "rund 3.400.115 Tonnen", ["3,400,115"]),
        ("de", "en", "1.000.000.000 Euro", ["1,000,000,000"]),
        ("de", "en", "12,50 Euro", ["12.50"]),
        ("de", "en", "etwa 1.500 Leute", ["1,500", "1500"]),
        ("de", "en", "im Jahr 2024", ["2024"]),
        ("en", "de", "1,500 people", ["1.500", "1500"]),
        ("en", "de", "about 1.500 kg", ["1,500"]),
        ("en", "de", "More than 1000000 people", ["1000000"]),
        ("en", "es", "1,234 people", ["1234", "1.234"]),
        ("en", "es", "12,345 people", ["12.345"]),
        ("en", "pt-PT", "1,234 people", ["1234", "1\xa0234"]),
        ("en", "fr", "12,345 people", ["12\u202f345"]),
        ("en", "de", "1,234.5 points", ["1.234,5", "1234,5"]),
        ("fr", "en", "25 300,5 euros", ["25,300.5"]),
        ("pl", "en", "ponad 10 000 osób", ["10,000"]),
        ("ru", "de", "более 1 000 000 человек", ["1.000.000"]),
        ("sv", "en", "12 345 personer", ["12,345"]),
        ("de", "en", "etwa 10 000 Leute", ["10,000"]),
        ("de", "en", "1 234 567 Leute", ["1,234,567"]),
        ("de-CH", "en", "1’234.50 Franken", ["1,234.50", "1234.50"]),
        ("de", "en", "1'000'000 Franken", ["1,000,000"]),
        ("hi", "de", "12,34,567 लोग", ["1.234.567"]),
        ("en", "hi", "1,234,567 people", ["12,34,567"]),
        ("en", "de", ".5 litres", ["0,5"]),
        ("en", "de", "007 and no more", ["007"]),
        ("de", "en", "0,5 Liter", ["0.5"]),
        ("ar", "en", "٣٫٥ كيلو", ["3.5"]),
        ("ar", "en", "١٬٢٣٤ كتاب", ["1,234", "1234"]),
        ("hi", "en", "२५ लोग", ["25"]),
        ("ja", "en", "約１２３人", ["123"]),
        ("en", "fa", "25 people", ["۲۵", "25"]),
        # With a sign
        ("de", "en", "bei -5 Grad", ["-5"]),
        ("en", "de", "at −5.5 degrees", ["−5,5"]),
        ("en", "de", "±3 mm", ["±3"]),
        ("en", "de", "from 5 -7", ["-7"]),
        # With a unit
        ("de", "en", "um 12,5 %", ["12.5%", "12.5 percent", "12.5 per cent"]),
        ("en", "de", "by 12.5%", ["12,5\xa0%", "12,5 Prozent"]),
        ("en", "fr", "by 5%", ["5\xa0%", "5 pour cent"]),
        ("en", "de", "for $318.45", ["318,45\xa0$", "318,45 Dollar"]),
        ("en", "de", "for €294.10", ["294,10\xa0€", "294,10 Euro"]),
        ("de", "en", "für 294,10 €", ["€294.10", "294.10 euros"]),
        ("pt", "en", "custa R$ 1.234,50", ["R$1,234.50", "R$1234.50"]),
        ("en", "pt", "US$5 only", ["US$\xa05"]),
        ("en", "de", "at -$5", ["-5\xa0$", "-5 Dollar"]),
        ("en", "ja", "¥1,000,000", ["¥1,000,000"]),
        ("en", "de", "EUR 25 each", ["25\xa0EUR", "25 Euro"]),
        ("de", "en", "für 25 USD", ["USD\xa025", "25 dollars"]),
        ("en", "de", "ALL 25 of us", ["25"]),
        ("en", "de", "a file of 3.5 MB", ["3,5 MB"]),
        ("de", "en", "bei -5 °C", ["-5 °C"]),
        ("en", "de", "a 5 km walk", ["5", "fünf"]),
        # Several together
        ("de", "en", "25-70 Tage", ["25-70", "25 to 70"]),
        ("en", "de", "pages 25\u201370", ["25\u201370", "25 bis 70"]),
        ("de", "en", "1.500-2.500 Euro", ["1,500-2,500", "1,500 to 2,500"]),
        ("de", "en", "Maßstab 1:100.000", ["1:100,000"]),
        ("en", "de", "1/2 cup", ["1/2"]),
        ("de", "en", "gewann 3:2", ["3:2", "3-2"]),
        ("en", "de", "won 3-2", ["3-2", "3 bis 2"]),
        ("pt", "en", "de 5 a 7 anos", ["5 to 7", "5\u20137"]),
        ("de", "pt", "10 bis 1.500 Leute", ["10 a 1.500", "10\u20131.500"]),
        ("en", "de", "2.5 to 3.5 m", ["2,5 bis 3,5", "2,5\u20133,5"]),
        # From one amount to another
        ("en", "de", "for $5-10", ["5-10\xa0$", "5-10 Dollar", "5 bis 10\xa0$", "5 bis 10 Dollar"]),
        ("en", "de", "for $5\u2013$10",
         ["5\u201310\xa0$", "5\u201310 Dollar", "5 bis 10\xa0$", "5 bis 10 Dollar"]),
        ("en", "de", "for $5 - $10",
         ["5-10\xa0$", "5-10 Dollar", "5 bis 10\xa0$", "5 bis 10 Dollar"]),
        ("en", "de", "for US$5-US$10", ["5-10\xa0US$", "5 bis 10\xa0US$"]),
        ("en", "de", "USD 5-USD 10", ["5-10\xa0USD", "5-10 Dollar", "5 bis 10\xa0USD",
                                      "5 bis 10 Dollar"]),
        ("en", "ja", "for $5-$10", ["$5-10"]),
        ("en", "de", "$10 - $5", ["5\xa0$", "5 Dollar"]),
        ("de", "en", "52 % - 48 %", ["48%", "48 percent", "48 per cent"]),
        ("de", "en", "10 \u20ac \u2013 5 \u20ac", ["\u20ac5", "5 euros"]),
        ("en", "de", "10%-20%-30%", ["30\xa0%", "30 Prozent"]),
        ("en", "de", "$5-$10-$15", ["15\xa0$", "15 Dollar"]),
        ("en", "de", "by 5-10%",
         ["5-10\xa0%", "5-10 Prozent", "5 bis 10\xa0%", "5 bis 10 Prozent"]),
        ("en", "de", "by 5%-10%",
         ["5-10\xa0%", "5-10 Prozent", "5 bis 10\xa0%", "5 bis 10 Prozent"]),
        ("de", "en", "5.000\u201310.000 \u20ac",
         ["\u20ac5,000\u201310,000", "5,000\u201310,000 euros", "\u20ac5,000 to 10,000",
          "5,000 to 10,000 euros"]),
        ("de", "en", "5 \u20ac\u201310 \u20ac",
         ["\u20ac5\u201310", "5\u201310 euros", "\u20ac5 to 10", "5 to 10 euros"]),
        ("en", "pt", "US$5-10", ["US$\xa05-10", "US$\xa05 a 10"]),
        ("en", "de", "12-15 MB", ["12-15 MB", "12 bis 15 MB"]),
        ("en", "de", "$1.5-2 million", ["1,5-2", "1,5 bis 2"]),
        ("en", "de", "-$5-$10", ["10\xa0$", "10 Dollar"]),
        ("en", "de", "$5-\u20ac10", ["10\xa0\u20ac", "10 Euro"]),
        # One, and as many as one
        ("de", "en", "für 1 \u20ac", ["\u20ac1", "1 euro"]),
        ("de", "en", "für 1,00 \u20ac", ["\u20ac1.00", "1.00 euros"]),
        ("en", "es", "for $1", ["1\xa0$", "1 dólar"]),
        # With words
        ("en", "de", "90 percent of it", ["90\xa0%", "90 Prozent"]),
        ("en", "de", "$2.3 billion", ["2,3"]),
        ("en", "de", "$2.3bn", ["2,3"]),
        ("de", "en", "EUR 969 bezahlt", ["EUR\xa0969", "969 euros"]),
        ("en", "de", "cost $1,318.45 USD", ["$1.318,45\xa0USD", "$1318,45\xa0USD"]),
        ("de", "en", "für $ 25 USD", ["USD\xa0$25"]),
        ("en", "pt", "cost -£12.50 GBP", ["GBP\xa0-£12,50"]),
        ("pt", "en", "cerca de 24 mil casas", ["24,000", "24 thousand"]),
        ("pt", "en", "9 mil milhões", ["9", "nine"]),
        ("en", "de", "see Figure 1.1", ["1.1"]),
        # In an order
        ("en", "de", "the 21st of May", ["21.", "21"]),
        ("de", "en", "am 3. Oktober", ["3rd", "3", "third"]),
        ("de", "en", "im 21. Jahrhundert", ["21st", "21"]),
        ("en", "pt", "the 21st century", ["21º", "21ª", "21", "XXI"]),
        ("pt", "en", "o 4º lugar", ["4th", "4", "fourth"]),
        ("fr", "en", "le 1er mai", ["1st", "1", "first"]),
        ("en", "fr", "the 2nd one", ["2e", "2ème", "2", "II"]),
        ("en", "de", "the 112th time", ["112.", "112"]),
        ("nl", "en", "de 3e keer", ["3rd", "3", "third"]),
        ("sv", "en", "den 3:e gången", ["3rd", "3", "third"]),
        ("es", "en", "el 3.º piso", ["3rd", "3", "third"]),
        ("it", "en", "il 3º piano", ["3rd", "3", "third"]),
        ("da", "en", "den 3. maj", ["3rd", "3", "third"]),
        ("pl", "en", "dnia 3. maja", ["3rd", "3", "third"]),
        ("ru", "en", "3-й этаж", ["3rd", "3", "third"]),
        ("en", "zh", "the 3rd floor", ["第3", "3"]),
        # Times
        ("de", "en", "um 8.30 Uhr", ["8:30"]),
        ("de", "en", "um 8 Uhr 30.", ["8:30"]),
        ("de", "en", "um 8 Uhr 30 Leute", ["30"]),
        ("da", "en", "kl. 8.30", ["8:30"]),
        ("en", "da", "at 8:30 am", ["8.30", "8:30"]),
        ("en", "de", "at 5 pm", ["17", "17:00"]),
        ("en", "de", "at 5:30 p.m.", ["17:30"]),
        ("en", "de", "from 2–4 p.m.", ["14–16"]),
        ("en", "de", "from 9-5pm", ["9-17"]),
        ("en", "de", "from 10:30 a.m. - 2:00 p.m.", ["10:30 - 14:00"]),
        ("en", "de", "from 13–14 pm", ["13–14", "13 bis 14"]),
        ("en", "de", "a build 22621.1702", ["22621.1702"]),
        ("en", "de", "to build 1.5 million homes", ["1,5"]),
        ("en", "de", "on Windows 8.1", ["8.1"]),
        ("de", "en", "auf Windows 10.000 Mal", ["10,000"]),
        ("en", "de", "see Figures 1.2", ["1.2"]),
        ("en", "de", "at 2-4 am I right", ["2-4", "2 bis 4"]),
        ("en", "de", "at 12:05 am", ["0:05"]),
        ("en", "pt", "at 12 pm", ["12", "12:00", "12h"]),
        ("de", "en", "um 17:30 Uhr",
         ["17:30", "5:30 pm", "5:30 p.m.", "5:30 PM", "5:30pm"]),
        ("fr", "en", "à 8h05", ["8:05"]),
        ("pt", "en", "às 9h", ["9", "9:00"]),
        # Dates
        ("de", "en", "am 24.12.2024", ["12/24/2024"]),
        ("de", "en", "am 3.4.2024", ["3.4.2024"]),
        ("de", "pt", "am 3.4.2024", ["3/4/2024"]),
        ("pt", "de", "em 03/04/2024", ["03.04.2024"]),
        ("en", "de", "on 12/24/2024", ["24.12.2024"]),
        ("en", "de", "on 24/12/2024", ["24.12.2024"]),
        ("en", "de", "on 3/4/2024", ["3/4/2024"]),
        ("de", "ja", "am 3.4.2024", ["2024/04/03"]),
        ("de", "sv", "am 24.12.2024", ["2024-12-24"]),
        ("nl", "de", "op 24-12-2024", ["24.12.2024"]),
        ("en", "de", "on 2024-12-24", ["2024-12-24"]),
        ("sv", "en", "den 2024-12-24", ["2024-12-24"]),
        # What its language does not write so
        ("de", "en", "Fassung 2.5", ["2.5"]),
        ("de", "en", "3,400,115 Tonnen", ["3,400,115"]),
        ("en", "de", "1.000.000 people", ["1.000.000"]),
        ("en", "de", "€294,10", ["294,10"]),
        ("en", "de", "12,34 or so", ["12,34"]),
        ("en", "de", "1.2.3", ["1.2.3"]),
        ("en", "de", "v2.5", ["2.5"]),
        ("en", "de", "1.5e-3 m", ["1.5e-3"]),
        ("de", "en", "0.500.000", ["0.500.000"]),
        ("de", "en", "MP3", ["3"]),
        ("de", "en", "CO₂", ["₂"]),
        ("de", "en", "2½ Liter", ["2½"]),
        ("en", "de", "32.13.2024", ["32.13.2024"]),
        ("xx", "de", "1,234", ["1,234"]),
        ("en", "xx", "1,234", ["1,234"]),
    ],
)  # fmt: skip
def test_each_kind(source: str, target: str, text: str, forms: list[str]) -> None:
    number = find(text, source)[-1]

    assert text[number.begin : number.end] == number.text
    assert list(written(number, target)) == forms


@pytest.mark.parametrize(
    ("source", "target", "text", "forms"),
    [
        ("en", "de", "$5 million", ["5 Millionen $", "5 Millionen Dollar", "5 Mio. Dollar"]),
        ("en", "de", "\u20ac3.2bn",
         ["3,2 Milliarden \u20ac", "3,2 Milliarden Euro", "3,2 Mrd. Euro"]),
        ("en", "de", "\xa31m", ["1 Million \xa3", "1 Million Pfund", "1 Mio. Pfund"]),
        ("en", "de", "\u20ac1,500 trillion",
         ["1.500 Billionen \u20ac", "1.500 Billionen Euro", "1.500 Bio. Euro",
          "1500 Billionen \u20ac", "1500 Billionen Euro", "1500 Bio. Euro"]),
        ("en", "de", "$5-$10 million",
         ["5-10 Millionen $", "5-10 Millionen Dollar", "5-10 Mio. Dollar", "5\u201310 Mio. Dollar",
          "5 bis 10 Millionen $", "5 bis 10 Millionen Dollar", "5 bis 10 Mio. Dollar"]),
        ("en", "de", "$5-10 million",
         ["5-10 Millionen $", "5-10 Millionen Dollar", "5-10 Mio. Dollar", "5\u201310 Mio. Dollar",
          "5 bis 10 Millionen $", "5 bis 10 Millionen Dollar", "5 bis 10 Mio. Dollar"]),
        ("en", "de", "$5m-$10m",
         ["5-10 Millionen $", "5-10 Millionen Dollar", "5-10 Mio. Dollar", "5\u201310 Mio. Dollar",
          "5 bis 10 Millionen $", "5 bis 10 Millionen Dollar", "5 bis 10 Mio. Dollar"]),
        ("en", "de", "\u20ac1bn\u20132bn",
         ["1\u20132 Milliarden \u20ac", "1\u20132 Milliarden Euro", "1\u20132 Mrd. Euro",
          "1-2 Mrd. Euro", "1 bis 2 Milliarden \u20ac", "1 bis 2 Milliarden Euro",
          "1 bis 2 Mrd. Euro"]),
        ("de", "en", "$ 5 Mio", ["$5 million", "5 million dollars"]),
        ("de", "en", "1 Mio. \u20ac", ["\u20ac1 million", "1 million euros"]),
        ("de", "en", "2,5 Milliarden \u20ac", ["\u20ac2.5 billion", "2.5 billion euros"]),
        ("de", "en", "1 Billion $", ["$1 trillion", "1 trillion dollars"]),
        ("en", "fr", "$5 million", ["$5 million"]),
    ],
)  # fmt: skip
def test_money_and_the_word_for_its_zeros_are_one_if_that_is_asked_for(
    source: str, target: str, text: str, forms: list[str]
) -> None:
    (number,) = find(f"It was {text}.", source, amounts=True)
    assert (number.begin, number.end) == (7, 7 + len(text))
    assert list(written(number, target)) == forms


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "5 million people paid $5", ["5", "$5"]),
        ("en", "a $5-million deal", ["5"]),
        ("en", "$5 moved", ["$5"]),
        ("en", "a) $5 b) $10 c) $15", ["5", "$10", "$15"]),
        ("en", "$20 M / $25 L", ["20", "$25"]),
        ("en", "$5 B. Smith", ["5"]),
        ("en", "$5m&ms for \u20ac3 m", ["5", "3"]),
        ("en", "a $5m-a-year deal", ["5"]),
        ("en", "US$5 million", ["5"]),
        ("en", "$5m-$10bn", ["$5 million", "$10 billion"]),
        ("en", "$5m-\u20ac10m", ["$5 million", "\u20ac10 million"]),
        ("en", "WE PAID $5 MILLION.", ["$5 MILLION"]),
        ("de", "$5 Mio.", ["$5 Millionen"]),
        ("en", "$5-$10-15 million", ["$5", "$10-15 million"]),
        ("en", "$5 million-10-15 million", ["$5 million", "10-15"]),
        ("de", "5 \u20ac-10-15 Mio. \u20ac", ["5 \u20ac", "10-15 Millionen \u20ac"]),
        ("en", "$500,000-$1 million", ["$500,000", "$1 million"]),
        ("en", "$500k-$1m", ["$500,000", "$1 million"]),
        ("en", "$5m-$10m-$15m", ["$5 million", "$10 million", "$15 million"]),
        ("en", "-$5m-$6m", ["$5 million", "$6 million"]),
        ("en", "5 million \u20ac-10 million", ["5 million \u20ac-10 million"]),
        ("de", "10 Mio. \u20ac 2020", ["10 Millionen \u20ac", "2020"]),
        ("en", "5 bn$ 10", ["5 billion $", "10"]),
        ("de", "ES SIND 5 MIO. \u20ac", ["5 Millionen \u20ac"]),
        ("de", "$5 Mio.\nEs waren $5 Mio., die", ["$5 Millionen", "$5 Millionen"]),
        ("en", "5 million and $6", ["5", "$6"]),
        ("en", "$5 and 3 million", ["$5", "3"]),
        ("en", "$5-\u20ac6 million", ["$5", "\u20ac6 million"]),
        ("en", "$5 to $6 million", ["$5", "$6 million"]),
        ("de", "5 Mio. Leute und 3 \u20ac", ["5", "3 \u20ac"]),
        ("de", "5 Mio. \u20ac, 3 Mrd. \u20ac", ["5 Millionen \u20ac", "3 Milliarden \u20ac"]),
        ("fr", "$5 million", ["5"]),
    ],
)
def test_what_is_no_money_with_a_word_for_its_zeros(
    language: str, text: str, numbers: list[str]
) -> None:
    assert [number.text for number in find(text, language, amounts=True)] == numbers


def test_the_full_stop_of_a_sentence_is_no_part_of_an_amount() -> None:
    text = "$5 Mio.\nEs waren $6 Mio., die $7 Mio. Umsatz, \u201e$8 Mio.\u201c"
    numbers = find(text, "de", amounts=True)
    found = [text[each.begin : each.end] for each in numbers]
    assert found == ["$5 Mio", "$6 Mio.", "$7 Mio.", "$8 Mio"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("6-12 \u20ac 5,00", ["6-12", "\u20ac 5,00"]),
        ("2019-2020 $ 100", ["2019-2020", "$ 100"]),
        ("10-20 $5", ["10-20", "$5"]),
        ("5-10 \u20ac 3 Mal", ["5-10 \u20ac", "3"]),
        ("5-10 % 3 Mal", ["5-10 %", "3"]),
        ("5-10 MB 2 Dateien", ["5-10 MB", "2"]),
    ],
)
def test_whose_a_sign_between_two_numbers_is(text: str, numbers: list[str]) -> None:
    assert [each.text for each in find(text, "de")] == numbers


def test_numbers_of_a_range_are_apart_if_that_is_asked_for() -> None:
    assert [each.text for each in find("$5-$10", "en", ranges=False)] == ["$5", "$10"]


@pytest.mark.parametrize(
    ("text", "read", "form"),
    [
        ("$85k-100k a year", "$85,000-100,000", "85.000-100.000\xa0$"),
        ("$85k\u2013$100k a year", "$85,000\u2013$100,000", "85.000\u2013100.000\xa0$"),
        ("\u20ac1.5k-2.5k", "\u20ac1,500-2,500", "1.500-2.500\xa0\u20ac"),
    ],
)
def test_letters_for_zeros_in_ranges_of_money(text: str, read: str, form: str) -> None:
    (number,) = find(text, "en")
    assert (number.text, written(number, "de")[0]) == (read, form)
    assert text[number.begin : number.end] == text.removesuffix(" a year")


@pytest.mark.parametrize("text", ["$5k-run", "$5k-10", "$5k-10th", "85k-100k euros"])
def test_letters_that_stand_for_no_zeros_of_a_range(text: str) -> None:
    assert "000" not in "".join(number.text for number in find(text, "en"))


def test_the_kinds_are_told_apart() -> None:
    text = "5 7.5 3rd 5 pm 12/24/2024 5-7 1.2.3"

    kinds = [type(number.value) for number in find(text, "en")]

    assert kinds == [Quantity, Quantity, Ordinal, Clock, Date, Compound, Unchanged]


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "In 2024 500 people came.", ["2024", "500"]),
        ("en", "In 24 500 people came.", ["24", "500"]),
        ("fr", "En 2024 500 personnes", ["2024", "500"]),
        ("de", "Das war 1990.", ["1990"]),
        ("de", "Die Nr. 5. Und 6.", ["5.", "6"]),
        ("en", "2, 3 and 4, not 5.", ["2", "3", "4", "5"]),
        ("en", "COVID-19, B2B, 4x4", ["19", "2", "4", "4"]),
        ("en", "5 € 6 €", ["5 €", "6 €"]),
        ("en", "Nothing at all", []),
        ("en", "(5) [6] #7 §8", ["5", "6", "7", "8"]),
        ("zh", "共有3400115人", ["3400115"]),
    ],
)
def test_where_numbers_begin_and_end(language: str, text: str, numbers: list[str]) -> None:
    assert [number.text for number in find(text, language)] == numbers


@given(st.integers(0, 10**12), st.sampled_from(sorted(_CLDR)), st.sampled_from(sorted(_CLDR)))
def test_there_and_back_again(value: int, source: str, target: str) -> None:
    """What is written for a target is read there as the same value."""
    (plain,) = find(f"{value:,}", "en")
    for form in written(plain, source):
        if not form[0].isdecimal():
            continue  # a word
        (number,) = find(f"x {form} y", source)
        back = written(number, target)
        assert set(back) <= set(written(plain, target))
        assert back[0] == written(plain, target)[0] or len(str(value)) == 4


@given(
    st.text(st.sampled_from("0123456789.,:/- '%$€stamphUr½²\u066b\u0663\u2009\u2013"), max_size=60),
    st.sampled_from(("en", "de", "fr", "pt", "ar", "xx")),
)
def test_every_digit_is_in_one_number(text: str, language: str) -> None:
    numbers = find(text, language)

    covered = [place for number in numbers for place in range(number.begin, number.end)]
    assert len(covered) == len(set(covered))
    digits = {
        place
        for place, sign in enumerate(text)
        if any(map(str.isdecimal, unicodedata.normalize("NFKC", sign)))
    }
    assert digits <= set(covered)
    for number in numbers:
        assert number.text == text[number.begin : number.end]
        assert all(written(number, target) for target in ("en", "de", "fa"))


def test_characters_like_digits_are_all_known() -> None:
    known = re.compile(f"[{DIGIT_LIKE}]")
    for sign in map(chr, (*range(0x3400), *range(0xF900, 0x20000))):
        shown = unicodedata.normalize("NFKC", sign)
        if not sign.isdecimal() and any(map(str.isdecimal, shown)):
            assert known.match(sign), f"{ord(sign):x} {shown}"


@pytest.mark.parametrize(
    "text",
    [
        "1", "1,", "1.2,3", "1 234 ", "1-", "1/2:3", "12,34,", "1'234", "1e", "\xbd", "$1", "1 % ",
        "-1 ", ".5", "1. a", "5 pm", "1 000 ", "1\xa0000", "8.30 Uhr ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["en", "de", "fr", "xx"])
def test_hostile_digits_cost_linear_work(text: str, language: str) -> None:
    """What is scanned again and again would take a hundred times as long, not ten times."""
    few, many = (
        min(_seconds(text * times, language) for _ in range(2)) for times in (2_000, 20_000)
    )

    assert many < 40 * few + 0.05
    assert _calls(text * 200, language) <= 11 * _calls(text * 20, language) + 100


def _seconds(text: str, language: str) -> float:
    started = time.thread_time()
    find(text, language)
    return time.thread_time() - started


def _calls(text: str, language: str) -> int:
    """How many calls of functions; what is remembered is."""
    find(text, language)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        find(text, language)
    finally:
        sys.setprofile(None)
    return calls


_PARTS = [
    "5", "12", "1234", "1.5", ".", ",", " ", "$", "%", "EUR ", " EUR", "-", "st", " pm", "Uhr",
    " h ", "30", "Fig. ", "ver ", "a", "\n", "thousand", " to ", "\xbd", "kg", "\xe0s ",
    "percent", "(", "\xa0", "A",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(_PARTS), max_size=9).map("".join),
    st.sampled_from(["en", "de", "pt", "fr", "sv", "ru"]),
)
def test_what_is_not_looked_for_is_not_there(text: str, language: str) -> None:
    found = find(text, language)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "_clusters", _never_alone)
        patch.setattr(recognition, "_is_near", lambda *_: True)
        patch.setattr(words, "_ENDS_OF_PARTS", AnyString())
        assert find(text, language) == found


def _never_alone(rules: Conventions) -> re.Pattern[str]:
    """What is read together, with groups as if what stands around it always counted."""
    by_space = rules.groups_by_space
    cluster = recognition._GROUPS_BY_SPACE if by_space else recognition._GROUPS_BY_SIGN
    return re.compile(f"{recognition._FIRST}(){cluster}()")


class AnyString(frozenset[str]):
    """Has any string in it."""

    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "full", "forms"),
    [
        ("a $85k car", "$85,000", ("85.000\xa0$", "85.000 Dollar")),
        ("a £1.25M house", "£1,250,000", ("1.250.000\xa0£", "1.250.000 Pfund")),
        ("a US$0.5B loss", "US$500,000,000", ("500.000.000\xa0US$",)),
        ("it is $85k-more", "85", ("85",)),
        ("it is $85km", "$85", ("85\xa0$", "85 Dollar")),
    ],
)
def test_a_letter_for_zeros(text: str, full: str, forms: tuple[str, ...]) -> None:
    [number] = find(text, "en")
    assert number.text == full
    assert written(number, "de") == forms
