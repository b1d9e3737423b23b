"""Numbers in words of German: dreihundertfünf, der zwanzigste, acht Uhr fünfzehn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from model.text.numbers.spelled_edges import SPACE, WITHIN_WORDS, text_before
from model.text.numbers.values import Clock, Number, Ordinal

__all__ = ["MARKS", "cardinals", "ordinals_and_times"]

MARKS = ("zig", "\xdfig", "ssig", "hundert", "tausend", " uhr ")
"""Every text with such a number has one of these."""
_MOST_CHARACTERS = 80
"""The most characters of a number."""
_UNITS = MappingProxyType({
    "ein": 1, "zwei": 2, "zwo": 2, "drei": 3, "vier": 4, "f\xfcnf": 5, "fuenf": 5, "sechs": 6,
    "sieben": 7, "acht": 8, "neun": 9,
})  # fmt: skip
_BELOW_TWENTY = _UNITS | {
    "eins": 1, "zehn": 10, "elf": 11, "zw\xf6lf": 12, "zwoelf": 12, "dreizehn": 13, "vierzehn": 14,
    "f\xfcnfzehn": 15, "fuenfzehn": 15, "sechzehn": 16, "siebzehn": 17, "achtzehn": 18,
    "neunzehn": 19,
}  # fmt: skip
_TENS = MappingProxyType({
    "zwanzig": 20, "drei\xdfig": 30, "dreissig": 30, "vierzig": 40, "f\xfcnfzig": 50,
    "fuenfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90,
})  # fmt: skip
_WORD = re.compile(rf"(?<![{WITHIN_WORDS}])[^\W\d_]+(?![{WITHIN_WORDS}])")
_BEFORE = re.compile(
    rf"(?:hundert|tausend|(?:mill|bill|trill)ion(?:en)?|(?:mill|bill)iarden?|(?<!\w)komma)"
    rf"(?:{SPACE}|-)(?:und{SPACE})?\Z"
)
_BEHIND = re.compile(rf"{SPACE}komma(?!\w)")
_ORDINAL = re.compile(rf"(?<![-{WITHIN_WORDS}])([^\W\d_]{{4,18}}ig)ste[nmrs]?(?=[ \xa0][^\W\d_])")
_TIME = re.compile(
    rf"(?<![-{WITHIN_WORDS}])([^\W\d_]{{3,18}}) uhr ([^\W\d_]{{3,18}})(?![-{WITHIN_WORDS}])"
)
_TIME_BEHIND = re.compile(rf"{SPACE}(?:[A-Z\xc4\xd6\xdc]|uhr|prozent)")
"""Not minutes, but how many were there at that time."""
_PARTS = "|".join((*_BELOW_TWENTY, *_TENS))
_THOUSANDS_BEFORE = re.compile(
    rf"(?:(?:{_PARTS}|\d)(?:-?,?{SPACE}(?:bis|oder|und)(?:{SPACE}zu)?|,)"
    rf"|einige|mehrere|viele|paar|\d){SPACE}\Z"
)
"""Where thousands are those of another number as well, or are counted themselves."""


def cardinals(text: str) -> Iterator[tuple[int, int, int]]:
    """Where numbers begin and end in a text in small letters, and what they are."""
    for match in _WORD.finditer(text):
        word = match[0]
        if (
            len(word) <= _MOST_CHARACTERS
            and (value := _value(word)) is not None
            and not _BEFORE.search(before := text_before(text, match))
            and not _BEHIND.match(text, match.end())
            and not (word.endswith("tausend") and _THOUSANDS_BEFORE.search(before))
        ):
            yield (*match.span(), value)


def _ordinals(text: str) -> Iterator[Number]:
    """From twenty to 99, before a word: der einundzwanzigste Mai."""
    for match in _ORDINAL.finditer(text):
        value = _below_hundred(match[1])
        if value is not None and value >= 20 and not _BEFORE.search(text_before(text, match)):
            yield Number(*match.span(), f"{value}.", Ordinal(str(value)))


def _times(original: str, text: str) -> Iterator[Number]:
    """Hours and minutes of a day, such as "acht Uhr f\xfcnfzehn"."""
    for match in _TIME.finditer(text):
        hour = 1 if match[1] == "ein" else _below_hundred(match[1])
        minutes = _below_hundred(match[2])
        if (
            hour is not None
            and hour <= 24
            and minutes is not None
            and 10 <= minutes < 60
            and not _TIME_BEHIND.match(original, match.end())
        ):
            time = Clock(str(hour), (str(minutes),))
            yield Number(*match.span(), f"{hour}:{minutes}", time)


def _value(word: str) -> int | None:
    """What a word means that is a number of several parts; None for others, and for hundreds."""
    thousands, thousand, rest = word.rpartition("tausend")
    hundreds, hundred, small = rest.rpartition("hundert")
    below = _below_hundred(small.removeprefix("und") if thousand or hundred else small)
    # A thousand is also many.
    if not (below or (thousand and not small and (hundred or thousands not in ("", "ein")))):
        return None
    if not (thousand or hundred or "und" in small):
        return None
    total = below or 0
    if hundred:
        hundreds = hundreds.removeprefix("und") if thousand else hundreds
        many = _BELOW_TWENTY.get(hundreds, None if hundreds else 1)
        if many is None or (thousand and many > 9):
            return None
        total += 100 * many
    if thousand:
        many = _many_thousands(thousands)
        if many is None:
            return None
        total += 1000 * many
    return total


def _many_thousands(word: str) -> int | None:
    """What stands before "tausend"."""
    hundreds, hundred, small = word.rpartition("hundert")
    below = _below_hundred(small.removeprefix("und") if hundred else small)
    if not word:
        return 1
    if not hundred:
        return below or None
    many = _UNITS.get(hundreds, None if hundreds else 1)
    return None if many is None or (small and not below) else 100 * many + (below or 0)


def _below_hundred(word: str) -> int | None:
    if (value := _BELOW_TWENTY.get(word) or _TENS.get(word)) is not None:
        return value
    unit, _, tens = word.partition("und")
    if unit in _UNITS and tens in _TENS:
        return _TENS[tens] + _UNITS[unit]
    return None


def ordinals_and_times(original: str, text: str) -> Iterator[Number]:
    """Ordinals, and hours with minutes.

    Args:
        original: with its capitals.
        text: the same in small letters.
    """
    yield from _ordinals(text)
    if " uhr " in text:
        yield from _times(original, text)
