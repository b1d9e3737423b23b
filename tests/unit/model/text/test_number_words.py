"""Small numbers in words: which of a sentence are found, and what says them in a translation."""

from __future__ import annotations

import pytest

from model.text.number_words import NumberWords


def found(text: str, source: str, target: str) -> list[str]:
    return [text[each.begin : each.end] for each in NumberWords(source, target).find(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Wir sehen uns am Montag um zehn.", ["zehn"]),
        ("Drei Hunde und vier Katzen", ["Drei", "vier"]),
        ("vor drei Tagen, nach sieben Jahren", ["drei", "sieben"]),
        ("UM ACHT GEHT ES LOS", ["ACHT"]),
        ("um zwoelf, FUENF vor acht, fuenf Tage", ["zwoelf", "fuenf"]),
        ("\u017fieben, dre\u0131, DRE\u0130, drei", ["\u017fieben", "drei"]),
        ("dreizehn Jahre, zwanzig oder fuenfzig", ["dreizehn", "zwanzig", "fuenfzig"]),
        ("DREISSIG LEUTE", ["DREISSIG"]),
        ("zehntausend, zwei oder ein, dreimal, drei-zehn, zwanzigmal, die Zwanziger", []),
        ("um zehn vor zwanzig, zwanzig vor neun, zwanzig tausend, dreizehn Komma acht", []),
        # Other languages say these times otherwise.
        ("um halb zehn, Viertel vor elf, viertel zehn", []),
        ("fünf vor zwölf, zehn nach drei, fünf Minuten nach acht", []),
        ("drei Viertel, drei hundert, sieben Komma fünf", []),
        ("um acht Uhr f\xfcnfzehn, drei Euro f\xfcnfzig, drei Stunden zwanzig", []),
        ("um acht Uhr, zwischen siebzehn und achtzehn Uhr, um zwanzig Uhr", ["acht"]),
        ("f\xfcnf und zwanzig, vier\xadund\xadzwanzig, zwanzig\u2013drei\xdfig, zehn\u2011mal", []),
        ("drei und vier, zehn und zwanzig", ["drei", "vier", "zehn", "zwanzig"]),
        # No numbers, or names.
        ("unter vier Augen, auf Wolke sieben", []),
        ("Gib acht! Nimm dich in acht. Die Elf gewann. Der Zug Sieben", []),
        ("Du musst acht geben, ohne acht zu geben, bitte geben Sie gut acht.", []),
        ("Gib acht was du sagst; gebt acht bitte! Gib gut acht, was du tust!", []),
        ("GIB ACHT AUF DICH; er gab acht, dass nichts geschah. Habt acht!", []),
        ("Jetzt schlägt's dreizehn! Jetzt schlägt es aber dreizehn.", []),
        ("Die Uhr schlägt zwölf, er zählt dreizehn.", ["zwölf", "dreizehn"]),
        ("Gib mir acht Euro, es gibt acht Planeten, in acht Tagen", ["acht", "acht", "acht"]),
    ],
)
def test_numbers_of_german(text: str, wanted: list[str]) -> None:
    assert found(text, "de", "en") == wanted
    assert found(text, "de-AT", "en-US") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Three dogs at ten, five or six cats", ["Three", "ten", "five", "six"]),
        ("SEE YOU AT NINE", ["NINE"]),
        ("Twenty people, seventeen dogs, ninety cats", ["Twenty", "seventeen", "ninety"]),
        ("three-year-old, twenty-three, two and one, the twenties, twenty-year-old", []),
        ("nineteen ninety, twenty to nine, ten past twenty, seventy thousand, forty winks", []),
        ("half past ten, ten to eleven, quarter to nine, five minutes past six", []),
        ("five hundred, ten thousand, three quarters, three dozen, nine thirty", []),
        ("twenty pounds fifty, the nineteen nineties, six hours thirty", []),
        ("twenty\u2013five, twenty\u2010five, five and twenty, twenty\xadfive", []),
        ("High five! He is six feet under. Four score and seven years", ["seven"]),
        ("He read Ocean's Eleven and the Big Five.", []),
        ("He is on cloud nine, and nine clouds are above him.", ["nine"]),
    ],
)
def test_numbers_of_english(text: str, wanted: list[str]) -> None:
    assert found(text, "en", "de") == wanted


def test_none_are_found_in_what_is_taken() -> None:
    [match] = NumberWords("de", "en").find("drei und vier", [(0, 4)])
    assert match.begin == 9
    assert match.entry.targets == ("four",)


@pytest.mark.parametrize(("source", "target"), [("fr", "en"), ("en", "ja"), ("de", "sv")])
def test_none_are_found_of_languages_that_are_not_known(source: str, target: str) -> None:
    assert found("drei, trois, three", source, target) == []


@pytest.mark.parametrize(
    ("word", "source", "target", "translation", "is_said"),
    [
        ("zehn", "de", "en", "See you at ten.", True),
        ("zehn", "de", "en", "See you at 10 o'clock, at 22:00.", True),
        ("zehn", "de", "en", "See you at 22:00.", True),
        ("zehn", "de", "en", "See you on Monday, 100 of you.", False),
        ("sieben", "de", "en", "Seventy seventeen", False),
        ("drei", "de", "en", "The third, threefold", True),
        ("zwölf", "de", "en", "A dozen", True),
        ("three", "en", "de", "Der dreijährige", True),
        ("three", "en", "de", "Dreizehn dreißig dreiundzwanzig dreihundert", False),
        ("seven", "en", "de", "zu siebt", True),
        ("eight", "en", "de", "Am Achten, die achte", True),
        ("four", "en", "pt", "quatro", True),
        ("four", "en", "pt", "quatrocentos", False),
        ("three", "en", "de", "3.000 Leute, 3,5 Tage", False),
        ("three", "en", "de", "Am 3. Mai waren 3, nicht 4 da.", True),
        ("seventy", "en", "de", "siebenundzwanzig Pfund", False),
        ("seventy", "en", "de", "siebenundsiebzig Pfund, siebzighundert", False),
        ("seventy", "en", "de", "siebzigjährig", True),
        ("seventeen", "en", "de", "siebenzehn", False),
        ("seventeen", "en", "de", "17 Jahre", True),
        ("seventeen", "en", "de", "um 29 Uhr", False),
        ("thirty", "en", "de", "halb sieben", True),
        ("vierzig", "de", "en", "fourty", False),
        ("vierzig", "de", "en", "her fortieth, in his forties", True),
        ("dreissig", "de", "en", "at half past six", True),
        ("sechzehn", "de", "en", "on the sixteenth", True),
        ("twenty", "en", "fr", "vingt", True),
        ("sixty", "en", "fr", "soixante", True),
        ("eight", "en", "de", "um zwanzig Uhr, 20:00, 20 Uhr", True),
        ("eight", "en", "de", "zwanzig Leute, 20 Leute", False),
        ("eight", "en", "de", "Achtung, er achtet", False),
        ("three", "en", "de", "dreissig", False),
        ("three", "en", "de", "f\xfcr 3.50 Euro", True),
        ("twenty", "en", "de", "die 20er Jahre, 20j\xe4hrig", True),
        ("twenty", "en", "de", "7.20 Euro, 1,20", False),
        ("zwanzig", "de", "en", "early 20s", True),
        ("zwanzig", "de", "en", "twenty-seven, twenty five", False),
        ("zwanzig", "de", "en", "a twenty-year-old, twenty-odd people", True),
        ("drei", "de", "en", "thirty-three, three hundred, he tripped", False),
        ("drei", "de", "en", "triplets", True),
        ("zehn", "de", "en", "one hundred and ten", False),
        ("vierzehn", "de", "en", "in a fortnight, two weeks", True),
        ("acht", "de", "en", "hours a week", False),
        ("thirty", "en", "pt", "meia hora", True),
    ],
)
def test_what_says_a_value(
    word: str, source: str, target: str, translation: str, is_said: bool
) -> None:
    [match] = NumberWords(source, target).find(word)
    assert match.said is not None
    assert (match.said.search(translation) is not None) == is_said
