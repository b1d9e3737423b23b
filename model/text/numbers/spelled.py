"""Numbers in words that models get wrong: forty-two, siebenundachtzig, nineteen ninety-nine.

Small models know hundreds, and make up the rest: here those of several words or parts have a value,
so that they are read, and written, in digits, as are ordinals from twenty on, and hours with
minutes in German. Known are English and German.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from model.text.numbers.values import Clock, Number, Ordinal, Quantity
from model.text.numbers.words import ordinals
from model.text.words import overlapping

__all__ = ["find_spelled"]

_MOST_CHARACTERS = 80
"""The most characters of a German number."""
_MOST_WORDS = 12
"""The most words of an English number."""
_MOST_BEFORE = 24
"""Characters before a number that say what it is a part of."""
_SPACE = r"[^\S\n]+"
_WITHIN_WORDS = "\\w\xad\u0300-\u036f\u200b-\u200d\u2060"
"""Beside a number: it is only a part of a word."""
_HYPHENS = "\u2010-\u2013\u2212"
"""That may stand for the common one."""


def find_spelled(text: str, language: str) -> list[Number]:
    """The numbers in words of a text, in order; their `text` is how digits say it.

    None are single words (twenty, zwanzig), hundreds (three hundred, dreihundert), what is part of
    more, such as a longer ordinal, a fraction, a range of thousands or a longer number, or what may
    be no number at all, as in "two thirty-five".

    Args:
        text: a sentence, or a longer text.
        language: its code.
    """
    if (reader := _READERS.get(language)) is None:
        return []
    marks, numbers, between_groups = reader
    # The only letter that is longer as a small one would move what is behind it.
    lowered = text.replace("\u0130", "I").lower()
    if not any(mark in lowered for mark in marks):
        return []
    found = [
        Number(begin, end, *_in_digits(value, between_groups))
        for begin, end, value in numbers(lowered)
    ]
    others = [*(_german_ordinals if language == "de" else _english_ordinals)(lowered)]
    if language == "de" and " uhr " in lowered:
        others += _german_times(text, lowered)
    if not others:
        return found
    others.sort()
    ends = [(each.begin, each.end) for each in others]
    rest = [each for each in found if not overlapping(ends, each.begin, each.end)]
    return sorted([*others, *rest])


def _in_digits(value: int, between_groups: str) -> tuple[str, Quantity]:
    """How digits say a value, and what it is; four digits may be a year, which has no groups."""
    if value < 10_000:
        return str(value), Quantity(str(value))
    return f"{value:,}".replace(",", between_groups), Quantity(str(value), grouped=True)


_DE_UNITS = MappingProxyType({
    "ein": 1, "zwei": 2, "zwo": 2, "drei": 3, "vier": 4, "f\xfcnf": 5, "fuenf": 5, "sechs": 6,
    "sieben": 7, "acht": 8, "neun": 9,
})  # fmt: skip
_DE_BELOW_TWENTY = _DE_UNITS | {
    "eins": 1, "zehn": 10, "elf": 11, "zw\xf6lf": 12, "zwoelf": 12, "dreizehn": 13, "vierzehn": 14,
    "f\xfcnfzehn": 15, "fuenfzehn": 15, "sechzehn": 16, "siebzehn": 17, "achtzehn": 18,
    "neunzehn": 19,
}  # fmt: skip
_DE_TENS = MappingProxyType({
    "zwanzig": 20, "drei\xdfig": 30, "dreissig": 30, "vierzig": 40, "f\xfcnfzig": 50,
    "fuenfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90,
})  # fmt: skip
_DE_WORD = re.compile(rf"(?<![{_WITHIN_WORDS}])[^\W\d_]+(?![{_WITHIN_WORDS}])")
_DE_BEFORE = re.compile(
    rf"(?:hundert|tausend|(?:mill|bill|trill)ion(?:en)?|(?:mill|bill)iarden?|(?<!\w)komma)"
    rf"(?:{_SPACE}|-)(?:und{_SPACE})?\Z"
)
_DE_BEHIND = re.compile(rf"{_SPACE}komma(?!\w)")
_DE_ORDINAL = re.compile(
    rf"(?<![-{_WITHIN_WORDS}])([^\W\d_]{{4,18}}ig)ste[nmrs]?(?=[ \xa0][^\W\d_])"
)
_DE_TIME = re.compile(
    rf"(?<![-{_WITHIN_WORDS}])([^\W\d_]{{3,18}}) uhr ([^\W\d_]{{3,18}})(?![-{_WITHIN_WORDS}])"
)
_DE_TIME_BEHIND = re.compile(rf"{_SPACE}(?:[A-Z\xc4\xd6\xdc]|uhr|prozent)")
"""Not minutes, but how many were there at that time."""
_DE_PARTS = "|".join((*_DE_BELOW_TWENTY, *_DE_TENS))
_DE_THOUSANDS_BEFORE = re.compile(
    rf"(?:(?:{_DE_PARTS}|\d)(?:-?,?{_SPACE}(?:bis|oder|und)(?:{_SPACE}zu)?|,)"
    rf"|einige|mehrere|viele|paar|\d){_SPACE}\Z"
)
"""Where thousands are those of another number as well, or are counted themselves."""


def _german(text: str) -> Iterator[tuple[int, int, int]]:
    for match in _DE_WORD.finditer(text):
        word = match[0]
        if (
            len(word) <= _MOST_CHARACTERS
            and (value := _german_value(word)) is not None
            and not _DE_BEFORE.search(before := _before(text, match))
            and not _DE_BEHIND.match(text, match.end())
            and not (word.endswith("tausend") and _DE_THOUSANDS_BEFORE.search(before))
        ):
            yield (*match.span(), value)


def _german_ordinals(text: str) -> Iterator[Number]:
    """From twenty to 99, before a word: der einundzwanzigste Mai."""
    for match in _DE_ORDINAL.finditer(text):
        value = _german_below_hundred(match[1])
        if value is not None and value >= 20 and not _DE_BEFORE.search(_before(text, match)):
            yield Number(*match.span(), f"{value}.", Ordinal(str(value)))


def _german_times(text: str, lowered: str) -> Iterator[Number]:
    """Hours and minutes of a day, such as "acht Uhr f\xfcnfzehn"."""
    for match in _DE_TIME.finditer(lowered):
        hour = 1 if match[1] == "ein" else _german_below_hundred(match[1])
        minutes = _german_below_hundred(match[2])
        if (
            hour is not None
            and hour <= 24
            and minutes is not None
            and 10 <= minutes < 60
            and not _DE_TIME_BEHIND.match(text, match.end())
        ):
            time = Clock(str(hour), (str(minutes),))
            yield Number(*match.span(), f"{hour}:{minutes}", time)


def _before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - _MOST_BEFORE) : match.start()]


def _german_value(word: str) -> int | None:
    """What a word means that is a number of several parts; None for others, and for hundreds."""
    thousands, thousand, rest = word.rpartition("tausend")
    hundreds, hundred, small = rest.rpartition("hundert")
    below = _german_below_hundred(small.removeprefix("und") if thousand or hundred else small)
    # A thousand is also many.
    if not (below or (thousand and not small and (hundred or thousands not in ("", "ein")))):
        return None
    if not (thousand or hundred or "und" in small):
        return None
    total = below or 0
    if hundred:
        hundreds = hundreds.removeprefix("und") if thousand else hundreds
        many = _DE_BELOW_TWENTY.get(hundreds, None if hundreds else 1)
        if many is None or (thousand and many > 9):
            return None
        total += 100 * many
    if thousand:
        many = _german_thousands(thousands)
        if many is None:
            return None
        total += 1000 * many
    return total


def _german_thousands(word: str) -> int | None:
    """What stands before "tausend"."""
    hundreds, hundred, small = word.rpartition("hundert")
    below = _german_below_hundred(small.removeprefix("und") if hundred else small)
    if not word:
        return 1
    if not hundred:
        return below or None
    many = _DE_UNITS.get(hundreds, None if hundreds else 1)
    return None if many is None or (small and not below) else 100 * many + (below or 0)


def _german_below_hundred(word: str) -> int | None:
    if (value := _DE_BELOW_TWENTY.get(word) or _DE_TENS.get(word)) is not None:
        return value
    unit, _, tens = word.partition("und")
    if unit in _DE_UNITS and tens in _DE_TENS:
        return _DE_TENS[tens] + _DE_UNITS[unit]
    return None


_EN_UNITS = MappingProxyType({
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9,
})  # fmt: skip
_EN_TEENS = MappingProxyType({
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
})  # fmt: skip
_EN_TENS = MappingProxyType({
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
})  # fmt: skip
_EN_BIG = frozenset(("hundred", "thousand"))
# Sixty and sixteen before six.
_EN_PARTS = "|".join((*_EN_TENS, *_EN_TEENS, *_EN_UNITS, *sorted(_EN_BIG)))
_EN_AND = r"(?:(?<=hundred)|(?<=thousand)),?\ and\ "
_EN_RUN = re.compile(
    rf"(?<![-{_WITHIN_WORDS}{_HYPHENS}])(?:{_EN_PARTS})(?:(?:[- ]|{_EN_AND})(?:{_EN_PARTS}))*+"
    rf"(?![{_WITHIN_WORDS}{_HYPHENS}])(?!-(?:{_EN_PARTS}))"
)
_EN_BEFORE = re.compile(
    rf"(?<!\w)(?:(?:hundred|thousand|[mbt]r?illions?),?{_SPACE}(?:and{_SPACE})?"
    rf"|(?:point|{_EN_PARTS}){_SPACE})\Z"
)
_EN_BEHIND = re.compile(rf"{_SPACE}point{_SPACE}(?:zero|oh|{_EN_PARTS})(?!\w)")
_EN_PAIR = re.compile(r"[a-z]+-[a-z]+")
"""Twenty-five, and no longer number: of "twenty-five-year-olds", too."""
_EN_FRACTIONS = "half|halves|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?"
_EN_ENDS = re.compile(rf"-\w|{_SPACE}(?:first|second|{_EN_FRACTIONS})(?!\w)")
"""What belongs to an ordinal or a fraction, or may have the last words for itself: in "one hundred
twenty-dollar bills"."""
_EN_SINGULAR = re.compile(
    rf"{_SPACE}(?:year|day|hour|minute|dollar|euro|pound|cent|page|mile|man)(?!\w)"
)
"""Where the last word of a number without a hyphen may belong: twenty five dollar bills."""
_EN_ONES = MappingProxyType({
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9,
})  # fmt: skip
_EN_ORDINAL = re.compile(
    rf"(?<![-{_WITHIN_WORDS}{_HYPHENS}])"
    rf"(?:(?P<tens>{'|'.join(_EN_TENS)})-(?P<one>{'|'.join(_EN_ONES)})"
    rf"|(?P<whole>(?:{'|'.join(each[:-1] for each in _EN_TENS)})ieth))"
    rf"(?![-{_WITHIN_WORDS}{_HYPHENS}])"
)
_EN_ORDINAL_BEFORE = re.compile(rf"(?<!\w)(?:an?|{_EN_PARTS}|(?:hundred|thousand) and){_SPACE}\Z")
"""Of fractions (one twentieth) and longer ordinals."""
_EN_ROAD = re.compile(rf"{_SPACE}(?:street|st\b|avenue|ave\b|road)")
_EN_THE = re.compile(
    rf"(?<!\w)(?:the|my|your|his|her|its|our|their|every|each|\w+['\u2019]s){_SPACE}\Z"
)
_EN_SECOND_BEHIND = re.compile(
    rf"\s*(?:[^\w\s]|\Z)|{_SPACE}(?:of|century|time|birthday|anniversary|floor|day|year|chapter"
    r"|edition|season|president|minute|place|in|and|or|january|february|march|april|may|june|july"
    r"|august|september|october|november|december)(?!\w)"
)
"""What follows thirty-second where it is no length of time."""
_EN_BETWEEN = re.compile(rf"(?<!\w)between{_SPACE}\Z")
_EN_THOUSANDS_BEFORE = re.compile(
    rf"(?:(?<!\w)(?:{_EN_PARTS})|\d)(?:,?{_SPACE}(?:to|or|and|maybe|perhaps)|,){_SPACE}\Z"
)
"""Where thousands are those of another number as well."""
_EN_AT = re.compile(rf"(?<!\w)at{_SPACE}\Z")
_EN_PART = re.compile(rf"(-| and |, and | )?({_EN_PARTS})")


def _english(text: str) -> Iterator[tuple[int, int, int]]:
    for match in _EN_RUN.finditer(text):
        parts = _EN_PART.findall(match[0])
        if (
            2 <= len(parts) <= _MOST_WORDS
            and (value := _english_value(parts)) is not None
            and not _is_part_in_english(text, match, parts)
        ):
            yield (*match.span(), value)


def _english_ordinals(text: str) -> Iterator[Number]:
    """From twentieth to ninety-ninth."""
    for match in _EN_ORDINAL.finditer(text):
        tens, one, whole = match.group("tens", "one", "whole")
        value = _EN_TENS[tens] + _EN_ONES[one] if tens else _EN_TENS[f"{whole[:-4]}y"]
        before, end = _before(text, match), match.end()
        if _EN_ORDINAL_BEFORE.search(before) or _EN_ROAD.match(text, end):
            continue
        if one == "second" and not (_EN_THE.search(before) and _EN_SECOND_BEHIND.match(text, end)):
            continue
        yield Number(*match.span(), ordinals(str(value), "en")[0], Ordinal(str(value)))


def _is_part_in_english(text: str, match: re.Match[str], parts: list[tuple[str, str]]) -> bool:
    """Whether it is, or may be, part of more, or more than one number, or a time of day."""
    before, end = _before(text, match), match.end()
    if _EN_BEFORE.search(before) or _EN_BEHIND.match(text, end):
        return True
    if _EN_ENDS.match(text, end) and not _EN_PAIR.fullmatch(match[0]):
        return True
    if _EN_AT.search(before) and _english_year(parts) is not None:
        return True
    if parts[-1][0] == " " and parts[-1][1] in _EN_UNITS and _EN_SINGULAR.match(text, end):
        return True
    if parts[-1][1] == "thousand" and _EN_THOUSANDS_BEFORE.search(before):
        return True
    is_range = " and " in match[0] and not text.startswith(" and ", end)
    return is_range and _EN_BETWEEN.search(before) is not None


def _english_value(parts: list[tuple[str, str]]) -> int | None:
    """What words mean, each with what joins it to the one before; None if they are no one number.

    "Two thirty-five" may be a time, "one thousand" may be many, and models know "five hundred".
    """
    words = [word for _, word in parts]
    if (year := _english_year(parts)) is not None:
        return year
    thousands: list[tuple[str, str]] = []
    if "thousand" in words:
        at = words.index("thousand")
        thousands, parts = parts[:at], parts[at + 1 :]
        if (many := _english_below_thousand(thousands)) is None:
            return None
        if not parts:
            return 1000 * many if many > 1 else None
    else:
        many = 0
    below = _english_below_thousand(parts)
    is_round = not many and len(parts) == 2 and parts[-1][1] == "hundred"
    return None if below is None or is_round else 1000 * many + below


def _english_year(parts: list[tuple[str, str]]) -> int | None:
    """Nineteen ninety-nine, twenty twenty-five."""
    (_, first), *rest = parts
    century = _EN_TEENS.get(first) or _EN_TENS.get(first)
    if century is None or not 17 <= century <= 20 or len(rest) not in (1, 2) or rest[0][0] != " ":
        return None
    below = _EN_TEENS.get(rest[0][1]) if len(rest) == 1 else None
    if below is None and rest[0][1] in _EN_TENS:
        below = _english_below_hundred([("", rest[0][1]), *rest[1:]])
    return None if below is None else 100 * century + below


def _english_below_thousand(parts: list[tuple[str, str]]) -> int | None:
    words = [word for _, word in parts]
    if "hundred" not in words:
        return _english_below_hundred(parts)
    if words.index("hundred") != 1 or words[0] not in _EN_UNITS:
        return None
    rest = parts[2:]
    below = _english_below_hundred([("", rest[0][1]), *rest[1:]]) if rest else 0
    return None if below is None else 100 * _EN_UNITS[words[0]] + below


def _english_below_hundred(parts: list[tuple[str, str]]) -> int | None:
    match [word for _, word in parts]:
        case [word]:
            return _EN_UNITS.get(word) or _EN_TEENS.get(word) or _EN_TENS.get(word)
        case [tens, unit] if tens in _EN_TENS and unit in _EN_UNITS and parts[1][0] in "- ":
            return _EN_TENS[tens] + _EN_UNITS[unit]
        case _:
            return None


_Spans = Callable[[str], Iterator[tuple[int, int, int]]]
_READERS: Mapping[str, tuple[tuple[str, ...], _Spans, str]] = {
    "de": (("zig", "\xdfig", "ssig", "hundert", "tausend", " uhr "), _german, "."),
    "en": (
        (
            "ty-",
            "tieth",
            "hundred",
            "thousand",
            "teen ",
            "twenty ",
            *[f"ty {unit}" for unit in _EN_UNITS],
        ),
        _english,
        ",",
    ),
}
"""By language, what every such number has one of, what reads them, and what stands between the
groups of their digits."""
