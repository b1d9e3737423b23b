"""Numbers in words of English: three hundred and five, the twenty-first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from model.text.numbers.spelled_edges import HYPHENS, SPACE, WITHIN_WORDS, text_before
from model.text.numbers.values import Number, Ordinal
from model.text.numbers.words import ordinals

__all__ = ["MARKS", "cardinals", "ordinals_and_times"]

_MOST_WORDS = 12
"""The most words of a number."""
_UNITS = MappingProxyType({
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9,
})  # fmt: skip
MARKS = (
    "ty-", "tieth", "hundred", "thousand", "teen ", "twenty ", *[f"ty {unit}" for unit in _UNITS],
)  # fmt: skip
"""Every text with such a number has one of these."""
_TEENS = MappingProxyType({
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
})  # fmt: skip
_TENS = MappingProxyType({
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
})  # fmt: skip
_BIG = frozenset(("hundred", "thousand"))
# Sixty and sixteen before six.
_PARTS = "|".join((*_TENS, *_TEENS, *_UNITS, *sorted(_BIG)))
_AND = r"(?:(?<=hundred)|(?<=thousand)),?\ and\ "
_RUN = re.compile(
    rf"(?<![-{WITHIN_WORDS}{HYPHENS}])(?:{_PARTS})(?:(?:[- ]|{_AND})(?:{_PARTS}))*+"
    rf"(?![{WITHIN_WORDS}{HYPHENS}])(?!-(?:{_PARTS}))"
)
_BEFORE = re.compile(
    rf"(?<!\w)(?:(?:hundred|thousand|[mbt]r?illions?),?{SPACE}(?:and{SPACE})?"
    rf"|(?:point|{_PARTS}){SPACE})\Z"
)
_BEHIND = re.compile(rf"{SPACE}point{SPACE}(?:zero|oh|{_PARTS})(?!\w)")
_PAIR = re.compile(r"[a-z]+-[a-z]+")
"""Twenty-five, and no longer number: of "twenty-five-year-olds", too."""
_FRACTIONS = "half|halves|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?"
_ENDS = re.compile(rf"-\w|{SPACE}(?:first|second|{_FRACTIONS})(?!\w)")
"""What belongs to an ordinal or a fraction, or may have the last words for itself: in "one hundred
twenty-dollar bills"."""
_SINGULAR = re.compile(
    rf"{SPACE}(?:year|day|hour|minute|dollar|euro|pound|cent|page|mile|man)(?!\w)"
)
"""Where the last word of a number without a hyphen may belong: twenty five dollar bills."""
_ONES = MappingProxyType({
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
    "eighth": 8, "ninth": 9,
})  # fmt: skip
_ORDINAL = re.compile(
    rf"(?<![-{WITHIN_WORDS}{HYPHENS}])"
    rf"(?:(?P<tens>{'|'.join(_TENS)})-(?P<one>{'|'.join(_ONES)})"
    rf"|(?P<whole>(?:{'|'.join(each[:-1] for each in _TENS)})ieth))"
    rf"(?![-{WITHIN_WORDS}{HYPHENS}])"
)
_ORDINAL_BEFORE = re.compile(rf"(?<!\w)(?:an?|{_PARTS}|(?:hundred|thousand) and){SPACE}\Z")
"""What stands before fractions (one twentieth), and in longer ordinals."""
_ROAD = re.compile(rf"{SPACE}(?:street|st\b|avenue|ave\b|road)")
_THE = re.compile(
    rf"(?<!\w)(?:the|my|your|his|her|its|our|their|every|each|\w+['\u2019]s){SPACE}\Z"
)
_SECOND_BEHIND = re.compile(
    rf"\s*(?:[^\w\s]|\Z)|{SPACE}(?:of|century|time|birthday|anniversary|floor|day|year|chapter"
    r"|edition|season|president|minute|place|in|and|or|january|february|march|april|may|june|july"
    r"|august|september|october|november|december)(?!\w)"
)
"""What follows thirty-second where it is no length of time."""
_BETWEEN = re.compile(rf"(?<!\w)between{SPACE}\Z")
_THOUSANDS_BEFORE = re.compile(
    rf"(?:(?<!\w)(?:{_PARTS})|\d)(?:,?{SPACE}(?:to|or|and|maybe|perhaps)|,){SPACE}\Z"
)
"""Where thousands are those of another number as well."""
_AT = re.compile(rf"(?<!\w)at{SPACE}\Z")
_PART = re.compile(rf"(-| and |, and | )?({_PARTS})")


def cardinals(text: str) -> Iterator[tuple[int, int, int]]:
    """Where numbers begin and end in a text in small letters, and what they are."""
    for match in _RUN.finditer(text):
        parts = _PART.findall(match[0])
        if (
            2 <= len(parts) <= _MOST_WORDS
            and (value := _value(parts)) is not None
            and not _is_part(text, match, parts)
        ):
            yield (*match.span(), value)


def ordinals_and_times(original: str, text: str) -> Iterator[Number]:
    """Ordinals from twentieth to ninety-ninth; no times.

    Args:
        original: with its capitals.
        text: the same in small letters.
    """
    for match in _ORDINAL.finditer(text):
        tens, one, whole = match.group("tens", "one", "whole")
        value = _TENS[tens] + _ONES[one] if tens else _TENS[f"{whole[:-4]}y"]
        before, end = text_before(text, match), match.end()
        if _ORDINAL_BEFORE.search(before) or _ROAD.match(text, end):
            continue
        if one == "second" and not (_THE.search(before) and _SECOND_BEHIND.match(text, end)):
            continue
        yield Number(*match.span(), ordinals(str(value), "en")[0], Ordinal(str(value)))


def _is_part(text: str, match: re.Match[str], parts: list[tuple[str, str]]) -> bool:
    """Whether it is, or may be, part of more, or more than one number, or a time of day."""
    before, end = text_before(text, match), match.end()
    if _BEFORE.search(before) or _BEHIND.match(text, end):
        return True
    if _ENDS.match(text, end) and not _PAIR.fullmatch(match[0]):
        return True
    if _AT.search(before) and _year(parts) is not None:
        return True
    if parts[-1][0] == " " and parts[-1][1] in _UNITS and _SINGULAR.match(text, end):
        return True
    if parts[-1][1] == "thousand" and _THOUSANDS_BEFORE.search(before):
        return True
    is_range = " and " in match[0] and not text.startswith(" and ", end)
    return is_range and _BETWEEN.search(before) is not None


def _value(parts: list[tuple[str, str]]) -> int | None:
    """What words mean, each with what joins it to the one before; None if they are no one number.

    "Two thirty-five" may be a time, "one thousand" may be many, and models know "five hundred".
    """
    words = [word for _, word in parts]
    if (year := _year(parts)) is not None:
        return year
    thousands: list[tuple[str, str]] = []
    if "thousand" in words:
        at = words.index("thousand")
        thousands, parts = parts[:at], parts[at + 1 :]
        if (many := _below_thousand(thousands)) is None:
            return None
        if not parts:
            return 1000 * many if many > 1 else None
    else:
        many = 0
    below = _below_thousand(parts)
    is_round = not many and len(parts) == 2 and parts[-1][1] == "hundred"
    return None if below is None or is_round else 1000 * many + below


def _year(parts: list[tuple[str, str]]) -> int | None:
    """Nineteen ninety-nine, twenty twenty-five."""
    (_, first), *rest = parts
    century = _TEENS.get(first) or _TENS.get(first)
    if century is None or not 17 <= century <= 20 or len(rest) not in (1, 2) or rest[0][0] != " ":
        return None
    below = _TEENS.get(rest[0][1]) if len(rest) == 1 else None
    if below is None and rest[0][1] in _TENS:
        below = _below_hundred([("", rest[0][1]), *rest[1:]])
    return None if below is None else 100 * century + below


def _below_thousand(parts: list[tuple[str, str]]) -> int | None:
    words = [word for _, word in parts]
    if "hundred" not in words:
        return _below_hundred(parts)
    if words.index("hundred") != 1 or words[0] not in _UNITS:
        return None
    rest = parts[2:]
    below = _below_hundred([("", rest[0][1]), *rest[1:]]) if rest else 0
    return None if below is None else 100 * _UNITS[words[0]] + below


def _below_hundred(parts: list[tuple[str, str]]) -> int | None:
    match [word for _, word in parts]:
        case [word]:
            return _UNITS.get(word) or _TEENS.get(word) or _TENS.get(word)
        case [tens, unit] if tens in _TENS and unit in _UNITS and parts[1][0] in "- ":
            return _TENS[tens] + _UNITS[unit]
        case _:
            return None
