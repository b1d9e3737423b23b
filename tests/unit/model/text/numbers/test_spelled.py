"""Numbers in words."""

from __future__ import annotations

import pytest

from model.text.numbers.spelled import find_spelled
from model.text.numbers.values import Quantity

_UNITS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
}


def _in_english(value: int) -> str:
    if value >= 1000:
        rest = value % 1000
        joint = " and " if 0 < rest < 100 else " "
        tail = joint + _in_english(rest) if rest else ""
        return f"{_in_english(value // 1000)} thousand{tail}"
    if value >= 100:
        tail = f" and {_in_english(value % 100)}" if value % 100 else ""
        return f"{_in_english(value // 100)} hundred{tail}"
    if value < 20:
        return _UNITS["en"].split()[value]
    tens = _TENS["en"].split()[value // 10 - 2]
    return f"{tens}-{_in_english(value % 10)}" if value % 10 else tens


def _in_german(value: int, *, last: bool = True) -> str:
    if value >= 1000:
        rest = _in_german(value % 1000) if value % 1000 else ""
        return f"{_in_german(value // 1000, last=False)}tausend{rest}"
    if value >= 100:
        rest = _in_german(value % 100, last=last) if value % 100 else ""
        return f"{_in_german(value // 100, last=False)}hundert{rest}"
    if value < 20:
        return "ein" if value == 1 and not last else _UNITS["de"].split()[value]
    tens = _TENS["de"].split()[value // 10 - 2]
    return f"{_in_german(value % 10, last=False)}und{tens}" if value % 10 else tens


_WRITERS = {"en": _in_english, "de": _in_german}


def _is_found(value: int, language: str) -> bool:
    """Whether models are spared it: hundreds, and short ones, they know."""
    below = value % 100
    if value < 100:
        return below > 20 and below % 10 > 0
    return value > 1000 or below > 0


def _in_digits(value: int, language: str) -> tuple[str, Quantity]:
    if value < 10_000:
        return str(value), Quantity(str(value))
    point = {"en": ",", "de": "."}[language]
    return f"{value // 1000}{point}{value % 1000:03}", Quantity(str(value), grouped=True)


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_number_is_read_whole_or_left_to_the_model(language: str) -> None:
    values = [*range(1, 2500), *range(2500, 1_000_000, 997)]
    for value in values:
        word = _WRITERS[language](value)
        text = f"x {word.capitalize()}, y"
        wanted = [(2, 2 + len(word), *_in_digits(value, language))]
        assert find_spelled(text, language) == (wanted if _is_found(value, language) else []), word


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "Forty-two people from twenty-one and thirty-two.", {"42", "21", "32"}),
        ("en", "born in nineteen ninety-nine or nineteen sixteen", {"1999", "1916"}),
        ("en", "twenty twenty-five", {"2025"}),
        ("en", "a twenty-five-year-old man", {"25"}),
        ("en", "twenty-five million", {"25"}),
        ("en", "ninety nine, seventy five miles, six hundred and sixty six", {"99", "75", "666"}),
        ("en", "nineteen forty five; sixty six thousand", {"1945", "66,000"}),
        ("en", "Thirty thousand dollars, two hundred thousand people", {"30,000", "200,000"}),
        ("en", "fifty to seventy thousand, five or six thousand, 5 to ten thousand", set()),
        ("en", "ten, maybe twenty thousand, between ten and twenty thousand", set()),
        ("en", "twenty two year olds, fifty five dollar bills", set()),
        ("en", "one thousand, a thousand, ten thousands, a ten thousand-year-old bone", set()),
        ("de", "vierzigtausend W\xf6rter, in zweihunderttausend Jahren", {"40.000", "200.000"}),
        ("de", "f\xfcnf- bis zehntausend, zwei oder dreitausend, 5 bis sechstausend", set()),
        ("de", "zehn und zwanzigtausend, zehn, zwanzigtausend", set()),
        ("de", "heute oder zehntausend, B\xe4ume und dreitausend", {"10.000", "3000"}),
        ("de", "eintausend, tausend, mehrere Zehntausend, Hunderttausende", set()),
        ("en", "TWENTY-FIVE", {"25"}),
        ("en", "Two thirty-five; twenty-five hundred; fifteen twenty.", set()),
        ("en", "the twenty-first century, on the thirtieth, Forty-Third, May ninetieth",
         {"21st", "30th", "43rd", "90th"}),
        ("en", "the twenty-second of May, her thirty-second birthday", {"22nd", "32nd"}),
        ("en", "a thirty-second spot, the sixty-second rule, Forty-Second Street", set()),
        ("en", "one twentieth, a fiftieth, one hundred and thirtieth, twenty-fifths", set()),
        ("de", "im einundzwanzigsten Jahr, am Zwanzigsten Mai, mein f\xfcnfunddrei\xdfigster Tag",
         {"21.", "20.", "35."}),
        ("de", "ein Zwanzigstel, der Zwanzigste. Im hundertzwanzigsten Jahr, der billigste", set()),
        ("en", "often one or two hundred thirsty teens, sixty, seven", set()),
        ("de", "Neunzehnhundertneunundneunzig, FÜNFUNDDREISSIG", {"1999", "35"}),
        ("de", "fuenfundfuenfzig", {"55"}),
        ("de", "zweiundvierzigste, siebenundachtzigjährig, hundert, Hunderte, und zwanzig", set()),
        ("de", "Tausendundeine Nacht, hundertprozentig, wunderttausend", set()),
        ("de", "Um acht Uhr f\xfcnfzehn, zwanzig Uhr f\xfcnfundvierzig, ein Uhr drei\xdfig",
         {"8:15", "20:45", "1:30"}),
        ("de", "um acht Uhr f\xfcnfzehn Leute, um acht Uhr zwei, drei\xdfig Uhr zehn", set()),
        ("de", "um drei\xdfigtausend Uhr zehn; f\xfcnfundzwanzig Uhr zehn", {"30.000", "25"}),
        ("pt", "quarenta e dois, forty-two, zweiundvierzig", set()),
    ],
)  # fmt: skip
def test_what_is_no_number_is_left_alone(language: str, text: str, found: set[str]) -> None:
    numbers = find_spelled(text, language)
    assert {number.text for number in numbers} == found


@pytest.mark.parametrize(
    "text",
    [
        "the one hundred and twenty-first time", "one hundred twenty-fifths",
        "nineteen ninety-ninth", "one hundred and twenty first", "one hundred and two thirds",
        "ninety-nine point nine", "three point twenty-five",
        "eighteen twenty-year-olds", "twenty twenty-dollar bills", "two hundred fifty-page books",
        "one hundred and twenty\u2011five", "twenty\u2011one hundred five",
        "fifty five-dollar bills",
        "one hundred and seven\xadteen", "one hundred  twenty-five", "one hundred\xa0twenty-five",
        "two million twenty-five", "one million, two hundred and five", "mid-nineteen ninety-nine",
        "between one hundred and one thousand five hundred", "at eighteen thirty",
    ],
)  # fmt: skip
def test_part_of_more_is_no_number_in_english(text: str) -> None:
    assert find_spelled(text, "en") == []


@pytest.mark.parametrize(
    "text",
    [
        "2hundertf\xfcnf", "hundertzwo\u0308lf", "einhundertsieben\xadzehn",
        "eintausend zweihundert f\xfcnfundzwanzig", "zweihundert-f\xfcnfundzwanzig",
        "zwei Millionen f\xfcnfundzwanzig", "hundert und f\xfcnfundzwanzig",
        "drei Komma f\xfcnfundzwanzig", "f\xfcnfundzwanzig Komma drei",
    ],
)  # fmt: skip
def test_part_of_more_is_no_number_in_german(text: str) -> None:
    assert find_spelled(text, "de") == []


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "often twenty-five, thirty-two, forty-five seconds, someone twenty-one",
         ["25", "32", "45", "21"]),
        ("en", "between one hundred and five and two hundred and ten", ["105", "210"]),
        ("en", "born in eighteen thirty\u2014one hundred and five seconds", ["1830", "105"]),
        ("en", "one hundred\ntwenty-five", ["25"]),
        ("de", "zwei Millionen\nf\xfcnfundzwanzig, f\xfcnfundzwanzig-j\xe4hrig", ["25", "25"]),
    ],
)  # fmt: skip
def test_neighbours_leave_a_number_what_it_is(language: str, text: str, found: list[str]) -> None:
    assert [number.text for number in find_spelled(text, language)] == found


@pytest.mark.parametrize("language", ["en", "de"])
def test_places_are_those_of_the_text(language: str) -> None:
    """The small letter of one capital is two characters."""
    text = "\u0130 forty-two zweiundvierzig"
    (number,) = find_spelled(text, language)
    assert text[number.begin : number.end] in ("forty-two", "zweiundvierzig")
    word = {"en": "forty-two", "de": "zweiundvierzig"}[language]
    (number,) = find_spelled(f"STRASSE \xc4 {word}", language)
    assert (number.begin, number.end) == (10, 10 + len(word))


@pytest.mark.parametrize(
    "text", ["forty-" * 20_000, "one hundred and " * 10_000, "twenty " * 20_000]
)
def test_long_texts_of_number_words_end(text: str) -> None:
    assert find_spelled(text, "en") == []


@pytest.mark.parametrize("text", ["einhundert" * 10_000, "zweiund" * 10_000 + "zwanzig"])
def test_long_words_are_no_numbers(text: str) -> None:
    assert find_spelled(text, "de") == []
