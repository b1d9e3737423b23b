"""Where a text has numbers, and what they mean by the conventions of its language.

Every digit of a text is in one number, those in words, exponents and circles included, so that
nothing is left that a model would have to copy by itself.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TypeGuard

from model.text.numbers.conventions import CODES, CURRENCIES, SPACES, Conventions, conventions
from model.text.numbers.values import (
    Amount,
    Clock,
    Compound,
    Date,
    Number,
    Ordinal,
    Quantity,
    Unchanged,
    Value,
)
from model.text.numbers.words import (
    has_magnitude,
    magnitude,
    magnitude_names,
    names_part,
    percent_word,
    range_word,
    suffixes,
    thousand,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DIGIT_LIKE", "find", "has_digits"]

DIGIT_LIKE = (
    "\xb2\xb3\xb9\xbc-\xbe\u2070\u2074-\u2079\u2080-\u2089\u2150-\u215f\u2189\u2460-\u249b\u24ea"
    "\u3251-\u325f\u32b1-\u32cb\u3358-\u3370\u3378\u3379\u339f-\u33a6\u33a8\u33af\u33e0-\u33fe"
    "\U0001f100-\U0001f10a"
)
"""Characters, as ranges of a pattern, that are no digits but have them in their compatibility
decomposition (NFKC), which is what most vocabularies read."""

_MARKS = ".,'\u2019\u066b\u066c"
_JOINTS = "/:\xd7\u2010-\u2015\u2212-"
"""Signs between numbers that are read together."""
_DIGIT = re.compile(rf"[\d{DIGIT_LIKE}]")


def _cluster(spaced: str) -> str:
    """The pattern of what is read together, behind its first character, which is a `_FIRST`, with
    `spaced` for groups of digits with spaces between them.

    Each character is looked at a bounded number of times.
    """
    part = rf"(?:[1-9]\d{{0,2}}(?:{spaced})(?:[.,]\d+)?|\d++(?:[{_MARKS}]\d++)*+)"
    # `re` looks fast for what begins with a set of characters, which is the first digit here.
    first = rf"(?:(?<=[1-9])\d{{0,2}}(?:{spaced})(?:[.,]\d+)?|\d*+(?:[{_MARKS}]\d++)*+)"
    return (
        rf"(?:(?<=\d){first}(?:[{_JOINTS}]{part})*+"
        rf"(?:[eE][-+]?\d++(?!\w)|[{DIGIT_LIKE}]++)?|(?<=[{DIGIT_LIKE}])[{DIGIT_LIKE}]*+)"
    )


_FIRST = rf"[\d{DIGIT_LIKE}]"
_GROUPS_BY_SPACE = _cluster(rf"(?:[ {SPACES}]\d{{3}}(?!\d))++")
_GROUPS_BY_SIGN = _cluster(
    rf"(?:[{SPACES}]\d{{3}}(?!\d))++|(?:\ 000(?!\d))++|(?:\ \d{{3}}(?!\d)){{2,}}+"
)
"""A usual space may as well part two numbers: one group is not enough."""
_ANY_CLUSTER = re.compile(_FIRST + _GROUPS_BY_SIGN)

_UNCHANGED = Unchanged()
_ALONE, _BEFORE = 0, 1
"""The groups of `_clusters`: none, and what stands before digits and may count."""
_UNIT_BEHIND, _THOUSAND_BEHIND, _PERCENT_BEHIND, _HALF_BEHIND, _HOUR_BEHIND = range(2, 7)
"""The groups of what is behind them; one more is that of ordinals."""
_NEVER = "(?!)"
_MOST_CHARACTERS = 64
"""The most characters of a number that is understood; longer ones are no values."""
_MOST_PARTS = 4
"""The most numbers that signs join to one."""
_MOST_NUMBERS = 200
"""The most numbers of a text that are understood: no model reads more at once."""
_MOST_REMEMBERED = 4096
_SHORT = 24
"""Characters of what is remembered."""

_SIGN_BEFORE = re.compile(r"(?<![^\s(\[{\"'\u201c\u201e\xab\u2018|=~<>\u2248])[-+\xb1\u2212\u2013]")
_DASHES = frozenset("-\u2013")
_SIGNS = frozenset("-+\xb1\u2212\u2013")
_ENDS_OF_CODES = frozenset(code[-1] for code in CODES)
_CODE_LENGTH = 3
_ANY_SPACE = frozenset(f" {SPACES}")
_POINT_BEFORE = re.compile(r"(?<![\w.])\.")
_CURRENCIES = "".join(sorted(CURRENCIES))
_CODES = "|".join(CODES)
_MEASURES = "[kKMGTP]i?B|[kMGT]?Hz|[kMG]Wh?|mAh|dB|\xb0[CF]"
"""Units that all languages write alike, and that nobody spells out."""
_UNIT = re.compile(
    rf"[ {SPACES}]?(?:([%\u2030\u066a{_CURRENCIES}])(?![\w{_CURRENCIES}])"
    rf"|({_CODES}|{_MEASURES})(?!\w))"
)
_UNIT_BEFORE = re.compile(
    rf"(?:(?:(?<![^\W\d_])[A-Z]{{1,3}})?[{_CURRENCIES}]|(?<!\w)(?:{_CODES}))[ {SPACES}]?\Z"
)
_MOST_BEFORE = len(" US$ ")
_MOST_BEFORE_CLOCK = 8
_APOSTROPHES = re.compile(r"([1-9]\d{0,2}(?:'\d{3})+|[1-9]\d{0,2}(?:\u2019\d{3})+)(?:[.,](\d+))?")
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?")
_HOUR = re.compile(r"([01]?[0-9]|2[0-4])(?:[.:]([0-5][0-9]))?")
_HOURS = re.compile(r"(\d{1,2})(?::([0-5]\d))?([-\u2013])(\d{1,2})(?::([0-5]\d))?")
_GOES_ON = re.compile(r"\w|[-\u2013](?!\d{1,3}(?:[.,]\d{1,3})?[kKMB](?!\w))[^\W_]")
"""Behind the letter of an amount: another word, or something else than the end of a range that has
a letter, too."""
_MAY_BE_RANGE = re.compile(
    rf"[-\u2013] ?(?:[A-Z]{{0,3}}[{_CURRENCIES}]|{_CODES})"
    rf"|(?:[%\u2030{_CURRENCIES}kKMB]|{_CODES}) ?[-\u2013] ?\d"
)
"""In any text with a range of numbers of which each has a unit, or a letter for its zeros."""
_CHAIN = re.compile(rf" ?[-\u2013] ?[A-Z]{{0,3}}[{_CURRENCIES}\d]")
_DIGIT_BEHIND = re.compile(rf"\d|[ {SPACES}]\d+[.,]\d\d(?!\d)")
_YEARS = re.compile(r"[12]\d{3}")
_SIGN_BEHIND = re.compile(rf"[ {SPACES}]?([{_CURRENCIES}])(?![\w{_CURRENCIES}])")
_ZEROS = {"k": 3, "K": 3, "M": 6, "B": 9}
_JOINT = re.compile(rf"[{_JOINTS}]")
_LETTERS_OF_NAMES = "A-Z_a-z\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\u052f"
_OF_NAME = frozenset(re.findall(f"[{_LETTERS_OF_NAMES}]", "".join(map(chr, range(0x530)))))
"""Before a digit, as in MP3, v2.5 and CO\u2082. Scripts without spaces between words have none."""


def has_digits(text: str) -> bool:
    """Whether there may be numbers in a text."""
    return _DIGIT.search(text) is not None


def find(
    text: str,
    language: str,
    *,
    most: int = _MOST_NUMBERS,
    ranges: bool = True,
    amounts: bool = False,
) -> list[Number]:
    """All numbers of a text, in order; each of its digits is in one of them.

    Args:
        text: a sentence, or a longer text; what a line has says nothing about the next one.
        language: its code; of a language that CLDR does not know all numbers are `Unchanged`.
        most: numbers that are understood.
        ranges: whether two of the same unit with a dash between them are one.
        amounts: whether money and the word for its zeros behind it are one.
    """
    if not _DIGIT.search(text):
        return []
    rules = conventions(language)
    if rules is None:
        return _unchanged(text, 0)
    numbers = list(islice(_numbers(text, rules), most))
    rest = _unchanged(text, numbers[-1].end) if len(numbers) == most else []
    numbers = _with_clock_ranges(text, numbers)
    if ranges and _MAY_BE_RANGE.search(text):
        numbers = _with_money_ranges(text, numbers)
    if amounts and not CURRENCIES.isdisjoint(text):
        numbers = _with_amounts(text, numbers, rules.language)
    return _with_ranges(text, numbers, rules.language) + rest


def _unchanged(text: str, begin: int) -> list[Number]:
    """All numbers from a place on, as they are."""
    return [
        Number(match.start(), match.end(), match[0], _UNCHANGED)
        for match in _ANY_CLUSTER.finditer(text, begin)
    ]


def _numbers(text: str, rules: Conventions) -> Iterator[Number]:
    pattern = _clusters(rules)
    clock_before = suffixes(rules.language).clock_before
    decimal, last = rules.decimal, 0
    full = ""
    matches = pattern.finditer(text)
    while (match := next(matches, None)) is not None:
        begin, end = span = match.span()
        written = match[0]
        near = match.lastindex or _ALONE
        is_alone = near == _ALONE
        before = "" if is_alone or not begin else text[begin - 1]
        if before in _OF_NAME:
            yield _new(Number, (begin, end, written, _UNCHANGED))
            last = end
            continue
        value: Value
        is_ascii = written.isascii()
        if is_ascii and written.isdecimal():
            value = _new(Quantity, (written, "", False, False, "", False, ""))
        elif is_ascii and _is_decimal(written, decimal):
            whole, _, fraction = written.partition(decimal)
            value = _new(Quantity, (whole, fraction, False, False, "", False, ""))
        else:
            value = (_remembered if end - begin <= _SHORT else _value)(written, rules)
        if not is_alone:
            if before == "." == decimal and begin > last and written.isdecimal():
                value, begin = _with_point(text, begin, value)
                before = text[begin - 1 : begin]
            if near > _BEFORE or (
                clock_before is not None
                and before == " "
                and _is_behind(clock_before, text, begin, written, end)
            ):
                value, end = _with_suffix(text, begin, end, value, rules, near)
            ends_range = full and before in _DASHES and begin == last + 1
            full = ""
            if (before in CURRENCIES or ends_range) and isinstance(value, Quantity):
                value, end, full = _with_zeros(text, end, value, rules)
            if _is_near(text, last, begin, before):
                if isinstance(value, Quantity):
                    value, begin = _with_prefix(text, last, begin, end, value)
                elif _is_dashed(value):
                    value, begin = _with_unit_before(text, last, begin, end, value)
        if "." in written and isinstance(value, Quantity) and names_part(text, begin):
            value = _UNCHANGED
        if not is_alone and (begin, end) != span:
            written = text[begin : span[0]] + full if full else text[begin:end]
            if end != span[1]:
                matches = pattern.finditer(text, end)
        yield _new(Number, (begin, end, written, value))
        last = end


_new = tuple.__new__
"""Makes named tuples in half the time."""


def _is_decimal(written: str, mark: str) -> bool:
    """Whether it is nothing but two groups of digits with the decimal sign `mark` between them."""
    whole, _, fraction = written.partition(mark)
    return whole.isdecimal() and fraction.isdecimal() and len(written) <= _MOST_CHARACTERS


@lru_cache(maxsize=512)
def _clusters(rules: Conventions) -> re.Pattern[str]:
    """What is read together in a language, with a group for what stands around it and may count:
    `_BEFORE`, and the first of those behind it."""
    near = f"{''.join(sorted(_SIGNS))}{_CURRENCIES}".replace("-", r"\-")
    has_clock = suffixes(rules.language).clock_before is not None
    spaces = SPACES if has_clock else f" {SPACES}"
    is_alone = (
        rf"(?<![{_LETTERS_OF_NAMES}{near}. {SPACES}].)"
        rf"|(?<=[^{near}{''.join(sorted(_ENDS_OF_CODES))}][{spaces}].)"
    )
    cluster = _GROUPS_BY_SPACE if rules.groups_by_space else _GROUPS_BY_SIGN
    around = suffixes(rules.language)
    known = (_UNIT, thousand(rules.language), percent_word(rules.language), around.half,
             around.hour, around.ordinal)  # fmt: skip
    groups = [_GROUP.sub("(?:", each.pattern) if each else _NEVER for each in known]
    suffix = "|".join([f"({each})" for each in groups])
    # Of what is behind a number, nothing begins with the end of its line.
    return re.compile(rf"{_FIRST}(?:{is_alone}|()){cluster}(?:(?=\n)|(?={suffix}|))")


_GROUP = re.compile(r"\((?:\?P<\w+>|(?!\?))")
"""The beginning of a group in a pattern that has no brackets as signs."""


def _is_behind(
    clock_before: re.Pattern[str], text: str, begin: int, written: str, end: int
) -> bool:
    """Whether digits are behind what stands before a time of day, and no number follows."""
    behind = text[end : end + 1]
    if behind in _ANY_SPACE:
        behind = text[end + 1 : end + 2]
    if behind.isdecimal() or not (behind.strip("\n") or "." in written):
        return False
    return clock_before.search(text, max(0, begin - _MOST_BEFORE_CLOCK), begin) is not None


def _is_near(text: str, last: int, begin: int, before: str) -> bool:
    """Whether what `_with_prefix` looks for may stand before a number, whose neighbour is `before`,
    behind `last`."""
    place = begin
    if before == "\n":
        return False
    if before in _ANY_SPACE:
        if begin <= last + 1:
            return False
        place = begin - 1
        before = text[place - 1 : place]
    if before in _ENDS_OF_CODES:
        return text[max(0, place - _CODE_LENGTH) : place] in CODES
    return before in _SIGNS or before in CURRENCIES


def _with_clock_ranges(text: str, numbers: list[Number]) -> list[Number]:
    """`numbers` with those times of day as one that a dash makes a range."""
    joined: list[Number] = []
    for number in numbers:
        if joined and isinstance(number.value, Clock) and number.value.half:
            first = joined[-1]
            between = text[first.end : number.begin]
            if (
                between.strip(" ") in _DASHES
                and isinstance(first.value, Clock)
                and first.value.half
            ):
                value = Compound((first.value, number.value), (between,))
                number = Number(first.begin, number.end, text[first.begin : number.end], value)
                joined.pop()
        joined.append(number)
    return joined


def _with_money_ranges(text: str, numbers: list[Number]) -> list[Number]:
    """`numbers` with those of the same currency, or shares, as one that a dash makes a range."""
    joined: list[Number] = []
    for number in numbers:
        if joined and (value := _money_range(text, joined, number)) is not None:
            first = joined.pop()
            written = first.text + text[first.end : number.begin] + number.text
            number = Number(first.begin, number.end, written, value)
        joined.append(number)
    return joined


def _money_range(text: str, before: list[Number], last: Number) -> Compound | None:
    """From how much to how much the last of those `before` and `last` are; None if they are no such
    range."""
    first = before[-1]
    if not (isinstance(first.value, Quantity) and isinstance(last.value, Quantity)):
        return None
    between, unit = text[first.end : last.begin], first.value.unit
    dash = between.strip(" ")
    if not unit or dash not in _DASHES or first.value.sign or last.value.sign:
        return None
    # $85k-100k: of amounts without letters these are one number already.
    goes_on = between in _DASHES and _is_plain(last.value) and text[last.end - 1] in _ZEROS
    if last.value.unit != unit and not goes_on:
        return None
    # With spaces it may be a thought: 50 EUR - 10 EUR more.
    if between != dash and not _size(first.value) < _size(last.value):
        return None
    goes_further = len(before) > 1 and text[before[-2].end : first.begin].strip(" ") in _DASHES
    if goes_further or _CHAIN.match(text, last.end):
        return None
    parts = first.value._replace(unit=""), last.value._replace(unit="")
    return Compound(parts, (dash,), unit)


def _size(value: Quantity) -> float:
    return float(f"{value.whole or '0'}.{value.fraction or '0'}")


def _with_amounts(text: str, numbers: list[Number], language: str) -> list[Number]:
    """`numbers` with those of money and the word for their zeros behind them as one."""
    pattern = magnitude(language)
    if pattern is None or pattern.search(text) is None:
        return numbers
    found: list[Number] = []
    for number in numbers:
        if found and number.begin < found[-1].end:
            number = _without_unit_before(text, found[-1].end, number)
        amount = None
        if (word := pattern.match(text, number.end)) is not None:
            amount = _amount(text, found, number, word, language)
        if amount is not None and found and amount.begin < found[-1].end:
            found.pop()
        found.append(amount or number)
    return found


def _without_unit_before(text: str, begin: int, number: Number) -> Number:
    """A number of which what stands before a place belongs to the one before it."""
    rest = text[begin : number.end]
    begin, value = number.end - len(rest.lstrip()), number.value
    if isinstance(value, Quantity):
        value = value._replace(unit="", sign="")
    elif isinstance(value, Compound):
        value = value._replace(unit="")
    return Number(begin, number.end, text[begin : number.end], value)


def _amount(
    text: str, found: list[Number], number: Number, word: re.Match[str], language: str
) -> Number | None:
    """Money, those `found` before it, with the `word` behind it; None if it has no sign of a
    currency."""
    value = number.value
    if not (_is_plain(value) or (_is_dashed(value) and not value.unit)):
        return None
    assert isinstance(value, Quantity | Compound)
    assert word.lastgroup is not None
    zeros, name = int(word.lastgroup[1:]), word[word.lastgroup]
    if word.lastgroup[0] != "m" and len(name) < len("million"):
        of_one = isinstance(value, Quantity) and value.is_one
        name = magnitude_names(language)[zeros][0 if of_one else 1]
    begin, end = number.begin, word.end()
    written = f"{number.text} {name}"
    first = max(found[-1].end if found else 0, begin - _MOST_BEFORE)
    if before := _UNIT_BEFORE.search(text[first:begin]):
        unit, begin = before[0].rstrip(), first + before.start()
        written = before[0] + written
    elif behind := _SIGN_BEHIND.match(text, end):
        unit, end = behind[1], behind.end()
        written = f"{written} {unit}"
    else:
        unit = ""  # that of the first of a range
    if found and isinstance(value, Quantity) and not _CHAIN.match(text, end):
        last, start = found[-1], _first_of_money(text, found, begin, unit, zeros)
        if start is not None and isinstance(last.value, Amount | Quantity):
            sign = text[last.end : begin]
            written = last.text + sign + written
            begin, unit, value = last.begin, last.value.unit, Compound((start, value), (sign,))
    if unit not in CURRENCIES:
        return None
    return Number(begin, end, written, Amount(value, zeros, unit))


def _first_of_money(
    text: str, found: list[Number], begin: int, unit: str, zeros: int
) -> Quantity | None:
    """What the last one `found` is without its unit, if that and a dash make it the first of a
    range of money of the same unit and as many zeros, or without those, that goes on from a place
    on."""
    last, value = found[-1], found[-1].value
    goes_further = len(found) > 1 and text[found[-2].end : last.begin] in _DASHES
    if text[last.end : begin] not in _DASHES or goes_further:
        return None
    if last.begin and text[last.begin - 1] in _SIGNS:
        return None
    if isinstance(value, Amount):
        is_first = unit in ("", value.unit) and value.zeros == zeros
        return value.number if is_first and isinstance(value.number, Quantity) else None
    if not isinstance(value, Quantity) or value.sign or not unit or value.unit != unit:
        return None
    is_short = not value.grouped and len(value.whole) <= 3  # or it has its zeros already
    return value._replace(unit="") if is_short else None


def _with_ranges(text: str, numbers: list[Number], language: str) -> list[Number]:
    """`numbers` with those that a word makes a range as one."""
    word = range_word(language)
    if word is None or f" {word} " not in text:
        return numbers
    joined: list[Number] = []
    for number in numbers:
        if joined and _is_range(text, joined[-1], number, word):
            first = joined.pop()
            value = Compound((_plain(first), _plain(number)), (f" {word} ",))
            number = Number(first.begin, number.end, text[first.begin : number.end], value)
        joined.append(number)
    return joined


def _is_range(text: str, first: Number, last: Number, word: str) -> bool:
    return (
        text[first.end : last.begin] == f" {word} "
        and _is_plain(first.value)
        and _is_plain(last.value)
    )


def _is_plain(value: Value) -> bool:
    """Whether it is nothing but digits, and signs between them."""
    return isinstance(value, Quantity) and not (value.sign or value.unit or value.thousands)


def _plain(number: Number) -> Quantity:
    assert isinstance(number.value, Quantity)
    return number.value


def _with_point(text: str, begin: int, value: Value) -> tuple[Value, int]:
    """Digits with a decimal point before them, if that is what it is, and where that begins."""
    if isinstance(value, Quantity) and _POINT_BEFORE.match(text, begin - 1):
        return Quantity("", value.whole, native=value.native), begin - 1
    return value, begin


def _with_prefix(
    text: str, last: int, begin: int, end: int, value: Quantity
) -> tuple[Quantity, int]:
    """A quantity with what stands before it, behind `last`, and where that begins."""
    if not value.unit and (unit := _unit_before(text, last, begin, end)) is not None:
        value, begin = value._replace(unit=text[unit:begin].rstrip()), unit
    elif value.unit in CODES:
        first = begin - (text[begin - 1] in _ANY_SPACE)
        if first > last and text[first - 1] in CURRENCIES:
            begin = first - 1
            value = value._replace(sign=text[begin])
    if begin > last and _SIGN_BEFORE.match(text, begin - 1):
        begin -= 1
        value = value._replace(sign=text[begin] + value.sign)
    return value, begin


def _with_unit_before(
    text: str, last: int, begin: int, end: int, value: Compound
) -> tuple[Compound, int]:
    """A range with the unit that stands before it, behind `last`, and where that begins."""
    unit = None if value.unit else _unit_before(text, last, begin, end)
    if unit is None:
        return value, begin
    return value._replace(unit=text[unit:begin].rstrip()), unit


def _unit_before(text: str, last: int, begin: int, end: int) -> int | None:
    """Where the unit begins that stands before a number, behind `last`; None if there is none."""
    if has_magnitude(text, end):
        return None  # of $5 million, the sign may be far from the digits
    first = max(last, begin - _MOST_BEFORE)
    unit = _UNIT_BEFORE.search(text[first:begin])
    return None if unit is None else first + unit.start()


def _with_zeros(
    text: str, end: int, value: Quantity, rules: Conventions
) -> tuple[Quantity, int, str]:
    """An amount of money, whose sign is before it or the range that it ends, with the letter behind
    it that stands for its zeros, as in $85k; where that ends, and how it is written with all
    digits; nothing if none is there."""
    zeros = _ZEROS.get(text[end : end + 1], 0)
    if not zeros or len(value.fraction) > zeros or value.native or _GOES_ON.match(text, end + 1):
        return value, end, ""
    whole = (value.whole + value.fraction.ljust(zeros, "0")).lstrip("0") or "0"
    groups = [whole[max(0, at - 3) : at] for at in range(len(whole), 0, -3)]
    full = value._replace(whole=whole, fraction="", grouped=True)
    return full, end + 1, rules.group.join(reversed(groups))


def _with_suffix(
    text: str, begin: int, end: int, value: Value, rules: Conventions, first: int
) -> tuple[Value, int]:
    """What a number is with what follows it, and where that ends.

    Args:
        text: with a number from `begin` to `end`.
        value: of the number.
        rules: of the language of the text.
        first: the first group of `_clusters` that is behind the number, if any is.
    """
    if isinstance(value, Quantity):
        found = _with_word(text, begin, end, value, rules, first)
        if found is not None:
            return found
    elif first <= _UNIT_BEHIND and _is_dashed(value) and (unit := _UNIT.match(text, end)):
        if unit[1] in CURRENCIES and _is_of_next(text, unit.end(), value):
            return value, end
        return value._replace(unit=_unit_of(unit)), unit.end()
    around = suffixes(rules.language)
    written = text[begin:end]
    if (
        isinstance(value, Compound)
        and around.half
        and (half := around.half.match(text, end))
        and not text.startswith(" I", half.end())  # 2-4 am I right
    ):
        clocks = _clock_range(written, half[1][0].lower() + "m")
        return (value, end) if clocks is None else (clocks, half.end())
    if end - begin > len("00:00:00") or not isinstance(value, Quantity | Clock | Unchanged):
        return value, end
    may_be_clock = first <= _HOUR_BEHIND or around.clock_before
    if may_be_clock and (clock := _clock(written)) is not None:
        if around.half and (half := around.half.match(text, end)) and 1 <= int(clock.hour) <= 12:
            return _new(Clock, (*clock[:2], half[1][0].lower() + "m")), half.end()
        if around.hour and (hour := around.hour.match(text, end)):
            if not hour["minutes"]:
                return clock, hour.end("within")
            if not clock.minutes:
                return clock._replace(minutes=(hour["minutes"],)), hour.end("minutes")
        if around.clock_before and around.clock_before.search(
            text, max(0, begin - _MOST_BEFORE_CLOCK), begin
        ):
            return clock, end
    if around.ordinal and written.isdecimal() and (ordinal := around.ordinal.match(text, end)):
        return Ordinal(_ascii(written)), ordinal.end()
    return value, end


def _with_word(
    text: str, begin: int, end: int, value: Quantity, rules: Conventions, first: int
) -> tuple[Quantity, int] | None:
    """`_with_suffix` of a unit, or of a word for a thousand or a share; None if none is there."""
    if first <= _UNIT_BEHIND and (unit := _UNIT.match(text, end)):
        return _new(Quantity, (*value[:6], _unit_of(unit))), unit.end()
    if first <= _THOUSAND_BEHIND and value.whole == text[begin:end] and end - begin <= 3:
        known = thousand(rules.language)
        if known and (match := known.match(text, end)):
            thousands = Quantity(f"{_ascii(text[begin:end])}000", grouped=True, thousands=True)
            return thousands, match.end()
    if first <= _PERCENT_BEHIND:
        word = percent_word(rules.language)
        if word and (match := word.match(text, end)):
            return value._replace(unit="%"), match.end()
    return None


def _unit_of(found: re.Match[str]) -> str:
    """The unit that `_UNIT` has found."""
    sign: str = found[1] or found[2]
    return "%" if sign == "\u066a" else sign


def _is_of_next(text: str, end: int, value: Compound) -> bool:
    """Whether the sign of a currency that ends at a place, behind a range, is that of the number
    behind it, as in: 6-12 \u20ac 5.00."""
    if _DIGIT_BEHIND.match(text, end):
        return True
    years = all(isinstance(each, Quantity) and _YEARS.fullmatch(each.whole) for each in value.parts)
    return years and text[end + 1 : end + 2].isdecimal()


def _is_dashed(value: Value) -> TypeGuard[Compound]:
    """Whether it is two numbers with a dash between them."""
    return (
        isinstance(value, Compound)
        and len(value.signs) == 1
        and value.signs[0] in _DASHES
        and isinstance(value.parts[0], Quantity)
    )


def _clock(written: str) -> Clock | None:
    """A time of day in digits, if something else says that it is one."""
    match = _HOUR.fullmatch(written)
    return match and Clock(match[1], (match[2],) if match[2] else ())


def _clock_range(written: str, half: str) -> Compound | None:
    """From when to when, if the second is of a half of a day; None if it is no such range.

    The first one is of the same half if it is then before the second: 9-5pm begins in the morning.
    """
    match = _HOURS.fullmatch(written)
    if match is None or not all(1 <= int(hour) <= 12 for hour in match.group(1, 4)):
        return None
    first, last = (
        (int(hour) % 12, minutes or "") for hour, minutes in (match.group(1, 2), match.group(4, 5))
    )
    other = "pm" if half == "am" else "am"
    begins = Clock(match[1], (match[2],) if match[2] else (), half if first < last else other)
    return Compound((begins, Clock(match[4], (match[5],) if match[5] else (), half)), (match[3],))


def _value(written: str, rules: Conventions) -> Value:
    """What digits and the signs between them mean."""
    if len(written) > _MOST_CHARACTERS or not written[-1].isdecimal():
        return _UNCHANGED
    text = _ascii(written)
    native = text != written
    if (clock := _CLOCK.fullmatch(text)) is not None:
        return Clock(clock[1], tuple(part for part in clock.groups()[1:] if part))
    if (date := _date(text, rules)) is not None:
        return date
    texts = _JOINT.split(text)
    if len(texts) > _MOST_PARTS:
        return _UNCHANGED
    parts: list[Quantity] = []
    for each in texts:
        quantity = _quantity(each, native, rules)
        if quantity is None:
            return _UNCHANGED
        parts.append(quantity)
    if len(parts) == 1:
        return parts[0]
    return Compound(tuple(parts), tuple(_JOINT.findall(text)))


_remembered = lru_cache(_MOST_REMEMBERED)(_value)


def _ascii(text: str) -> str:
    """`text` with ASCII digits."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)


def _quantity(text: str, native: bool, rules: Conventions) -> Quantity | None:
    """A number by the conventions of its language; None if it is not written by them."""
    if text.isdecimal():
        return Quantity(text, native=native)
    # The signs of Arabic are of one meaning only.
    decimal, group = rules.decimal, rules.group
    if "\u066b" in text or "\u066c" in text:
        decimal, group = "\u066b", "\u066c"
    if match := _APOSTROPHES.fullmatch(text):
        return Quantity(_digits(match[1]), match[2] or "", True, native)
    whole, found, fraction = text.partition(decimal)
    if found and not fraction.isdecimal():
        return None
    if whole.isdecimal():
        return Quantity(whole, fraction, native=native)
    marks = {sign for sign in whole if not sign.isdecimal()}
    if len(marks) > 1:
        return None
    mark = marks.pop()
    if mark != group and not mark.isspace():
        return None
    groups = whole.split(mark)
    if groups[0][0] == "0" or len(groups[0]) > 3 or len(groups[-1]) != 3:
        return None
    widths = set(map(len, groups[1:-1]))
    if widths <= {3} or (widths == {2} and len(groups[0]) < 3 and mark == ","):
        return Quantity("".join(groups), fraction, True, native)
    return None


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _date(text: str, rules: Conventions) -> Date | None:
    """A day in the order of the language; None if it is none, or could as well be another one."""
    parts = text.split(rules.date_mark) if rules.date_order else []
    if len(parts) != 3 or not all(map(str.isdecimal, parts)):
        return None
    of = dict(zip(rules.date_order, parts, strict=True))
    day, month, year = of["d"], of["m"], of["y"]
    if len(year) != 4 or max(len(day), len(month)) > 2 or year[0] not in "12":
        return None
    if rules.date_order == "ymd" and rules.date_mark == "-":
        return None  # as ISO 8601 has it: it is the same everywhere
    if not rules.date_certain:
        if int(month) > 12:
            day, month = month, day
        elif int(day) <= 12 and day != month:
            return None
    if not (1 <= int(day) <= 31 and 1 <= int(month) <= 12):
        return None
    return Date(day, month, year)
