"""Whether a translation has the numbers of its source, however its language writes them.

1,234.50 and 1.234,50 are the same number; so are 5 pm and 17 Uhr, 21st and 21., 12 and twelve, and
12/24 and 24. Dezember. A mark between digits can mean several things, as in 1,234; a translation is
right if any of them is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from babel import Locale

__all__ = ["NumberLanguage", "numbers_kept", "same_numbers"]

NumberLanguage = Literal["en", "de", "pt"]

_NUMBER = re.compile(r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![\d.,:])|\d+(?:[.,:'\u2019]\d+)*")
_TIME = re.compile(r"(\d{1,2})((?:[.:]\d\d)*)")
_CLOCK = re.compile(r"\s*(?:[ap]\.?m\b|uhr\b|o['\u2019]clock\b)", re.IGNORECASE)
_GROUPED = re.compile(r"\d{1,3}([.,'\u2019 \u00a0\u202f])\d{3}(?:\1\d{3})*")
_DECIMAL = re.compile(
    r"(?P<whole>\d+|\d{1,3}(?:(?P<mark>[.,'\u2019])\d{3})+(?!(?P=mark)))[.,:](?P<rest>\d+)"
)
_THOUSAND = re.compile(r"\s(?:mil|thousand|tausend)\b", re.IGNORECASE)
_ROMAN = re.compile(r"\b(X{0,3})(IX|IV|V?I{0,3})\b")
"""Numbers of centuries and kings, as Portuguese writes them."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

_ONES = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze "
    "quinze dezesseis dezessete dezoito dezenove",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
}
_ORDINALS = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    "de": "erste zweite dritte vierte fünfte sechste siebte achte neunte zehnte elfte zwölfte",
    "pt": "primeiro segundo terceiro quarto quinto sexto sétimo oitavo nono décimo onzeavo dozeavo",
}
_OTHERS = {
    "en": {"a": 1, "an": 1, "once": 1, "twice": 2, "noon": 12, "hundred": 100, "thousand": 1000},
    "de": {"ein": 1, "beide": 2, "mittag": 12, "hundert": 100, "tausend": 1000},
    "pt": {
        "uma": 1,
        "duas": 2,
        "ambos": 2,
        "meio-dia": 12,
        "cem": 100,
        "mil": 1000,
        "dezasseis": 16,
        "dezassete": 17,
        "dezanove": 19,
        "quatorze": 14,
        "primeira": 1,
        "segunda": 2,
        "terceira": 3,
        "quarta": 4,
        "quinta": 5,
        "sexta": 6,
        "sétima": 7,
        "oitava": 8,
        "nona": 9,
        "décima": 10,
    },
}
_GERMAN_ENDING = re.compile(r"(?:e[nrsm]?|(?<=ein)s|mal)$")
"""As in erstes, zweiten, einen, dreimal. Sieben loses it as well, in the table as in the text."""


def numbers_kept(source: str, translation: str, target: NumberLanguage) -> bool:
    """Whether every number that the source writes in digits is in the translation."""
    found = _found(translation, target)
    return all(
        any(reading <= found for reading in _source_readings(source, match))
        for match in _NUMBER.finditer(source)
    )


def same_numbers(*texts: str) -> list[list[str]]:
    """The numbers of each text, in its order, that all texts write in digits once each."""
    values = [_values(text) for text in texts]
    same = set(values[0]).intersection(*values)
    same = {value for value in same if all(each.count(value) == 1 for each in values)}
    return [[value for value in each if value in same] for each in values]


def _values(text: str) -> list[str]:
    """The numbers in digits of a text, in order, but for those that may be several."""
    readings = (map(list, _readings(match[0])) for match in _NUMBER.finditer(text))
    single = ([each[0] for each in some if len(each) == 1] for some in readings)
    return [each[0] for each in single if each]


def _source_readings(source: str, match: re.Match[str]) -> Iterator[set[str]]:
    yield from _readings(match[0])
    if _THOUSAND.match(source, match.end()):
        yield from _readings(f"{match[0]}000")
    time = _TIME.fullmatch(match[0])
    if time and (":" in match[0] or _CLOCK.match(source, match.end())):
        # The clock of the other language may have 12 hours, or 24.
        for hour in (int(time[1]) + 12, int(time[1]) - 12):
            if 0 <= hour <= 24:
                yield from _readings(f"{hour}{time[2]}")


def _readings(digits: str) -> Iterator[set[str]]:
    """What a run of digits and marks can mean: each a set of numbers that stand there together."""
    if match := _GROUPED.fullmatch(digits):
        yield {_number(digits.replace(match[1], ""))}
    elif digits.count(",") != 1:  # a date, a time or a list
        yield {_number(part) for part in re.split(r"\D", digits)}
    if match := _DECIMAL.fullmatch(digits):
        yield {_number(re.sub(r"\D", "", match["whole"]), match["rest"])}


def _number(whole: str, rest: str = "") -> str:
    """Equal for equal numbers, but not for 2.5 and 2.500: that can be two and a half thousand."""
    if len(rest) != 3:
        rest = rest.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{rest}" if rest else whole


def _found(translation: str, language: NumberLanguage) -> set[str]:
    """Every number that the translation may be said to have in it."""
    found: set[str] = set()
    for match in _NUMBER.finditer(translation):
        found = found.union(*_readings(match[0]))
    if language == "pt":
        found |= {_roman(*match.groups()) for match in _ROMAN.finditer(translation) if match[0]}
    words = _WORDS[language]
    for match in _WORD.finditer(translation.casefold()):
        if (number := words.get(_stem(match[0], language))) is not None:
            found.add(str(number))
    return found


def _roman(tens: str, ones: str) -> str:
    numerals = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
    return str(10 * len(tens) + numerals.index(ones))


def _number_words(language: NumberLanguage) -> dict[str, int]:
    """Words in lower case for 0 to 99, most ordinals and the months; German without endings."""
    ones, tens = _ONES[language].split(), _TENS[language].split()
    ordinals = _ORDINALS[language].split()
    words = {word: number for number, word in enumerate(ones)}
    for number, ten in enumerate(tens, start=2):
        words[ten] = 10 * number
        for rest, one in enumerate(ones[1:10], start=1):
            # Einundzwanzig, but eins.
            german = f"{'ein' if rest == 1 else one}und{ten}"
            words[german if language == "de" else f"{ten}-{one}"] = 10 * number + rest
            ordinal = f"{german}ste" if language == "de" else f"{ten}-{ordinals[rest - 1]}"
            words[ordinal] = 10 * number + rest
    words |= {word: number for number, word in enumerate(ordinals, start=1)}
    words |= {name: number for number, name in Locale(language).months["format"]["wide"].items()}
    words |= _OTHERS[language]
    return {_stem(word.casefold(), language): number for word, number in words.items()}


def _stem(word: str, language: NumberLanguage) -> str:
    return _GERMAN_ENDING.sub("", word) if language == "de" else word


_WORDS: dict[NumberLanguage, dict[str, int]] = {
    "en": _number_words("en"),
    "de": _number_words("de"),
    "pt": _number_words("pt"),
}
