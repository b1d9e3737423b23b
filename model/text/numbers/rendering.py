"""How a target language writes the value of a number."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from model.text.numbers.conventions import CODES, CURRENCIES, Conventions, conventions
from model.text.numbers.values import Amount, Clock, Compound, Date, Number, Ordinal, Quantity
from model.text.numbers.words import (
    magnitude_names,
    number_words,
    ordinals,
    range_word,
    thousand_word,
    unit_names,
)

__all__ = ["spellings", "unit_spellings", "written"]

_MOST_FORMS = 24
_DASHES = ("-", "\u2013")
_RATES = "%\u2030"
_NUMBER = "\0"
"""What stands for a number in the forms that it has with its unit."""
_MOST_UNITS = 1024
"""Units and signs of which it is remembered how they stand around numbers."""


def written(number: Number, target: str) -> tuple[str, ...]:
    """How a number may be written in a language: the usual form first, at least one, each once.

    What has no value, or a target that CLDR does not know, leaves it as it stands.
    """
    return tuple(dict.fromkeys(spellings(number, target).values()))


def spellings(number: Number, target: str) -> dict[str, str]:
    """What a model may write for a number, and which form of `written` is meant by that.

    A form can be spelt with other spaces, or with a sign on its other side.
    """
    rules = conventions(target)
    text, value = number.text, number.value
    if rules is None:
        return {text: text}
    if isinstance(value, Quantity) and not (rules.digits or value.grouped or value.unit):
        if value.whole == text and len(text) > 2:
            return {text: text}
        if value.fraction:
            form = f"{value.sign}{value.whole or '0'}{rules.decimal}{value.fraction}"
            return {form: form}
    forms: dict[str, str] = {}
    for form, *others in _forms(number, rules):
        for each in (form, *others):
            forms.setdefault(each, form)
    return dict(list(forms.items())[:_MOST_FORMS]) or {number.text: number.text}


def unit_spellings(number: Number, target: str) -> tuple[str, ...]:
    """What a language says for the unit of a number, if that is a currency or a share: beside it,
    each would be said twice."""
    value, rules = number.value, conventions(target)
    if not isinstance(value, Quantity | Compound | Amount) or not value.unit or rules is None:
        return ()
    if type(value) is Quantity and value.sign[-1:] in CURRENCIES:
        return ()
    return _names_of_unit(value.unit, rules.language)


@lru_cache(maxsize=_MOST_UNITS)
def _names_of_unit(unit: str, language: str) -> tuple[str, ...]:
    """The signs, codes and words of a language for a currency or a share; of others nothing."""
    sign = CODES.get(unit) or unit
    codes = tuple(code for code, of_code in CODES.items() if of_code == sign)
    is_money = unit in CODES or unit[-1] in CURRENCIES
    if not is_money and unit not in _RATES:
        return ()
    names = (*unit_names(unit, language), *unit_names(unit, language, of_one=True))
    return tuple(dict.fromkeys((sign, *codes, *names)))


def _forms(number: Number, rules: Conventions) -> Iterator[tuple[str, ...]]:
    """Forms of a number, each with its other spellings behind it."""
    match number.value:
        case Quantity() as value:
            yield from _quantity(value, rules)
        case Compound(parts=(Clock(), Clock())) as value:
            yield tuple(_clock_range(value, rules))
        case Compound(unit="") as value:
            yield from _compound(value, rules)
        case Compound() as value:
            yield from _range_of_amounts(value, rules)
        case Amount() as value:
            yield from _amount(value, rules)
        case Clock() as value:
            # Models of many texts write 8.30 as well.
            yield from ((form, form.replace(":", ".")) for form in _clock(value, rules))
        case Date() as value:
            yield tuple(_date(value, rules))
        case Ordinal() as value:
            yield from ((form,) for form in ordinals(value.digits, rules.language))


def _quantity(value: Quantity, rules: Conventions) -> Iterator[tuple[str, ...]]:
    plain = [value.sign + each for each in _plain(value, rules)]
    if value.unit:
        beside, named = _around_number(value.unit, value.sign, rules, of_one=value.is_one)
        for each in plain:
            number = each.removeprefix(value.sign)
            yield tuple([form.replace(_NUMBER, number) for form in beside])
        yield from ((form.replace(_NUMBER, each),) for form in named for each in plain)
        return
    yield from ((each,) for each in plain)
    if value.thousands and (word := thousand_word(rules.language)) is not None:
        yield (f"{value.sign}{value.whole[:-3]} {word}",)
    if value.whole.isdecimal() and value == Quantity(str(int(value.whole))):
        words = number_words(rules.language)
        if 2 <= int(value.whole) < len(words):
            yield from ((word,) for word in words[int(value.whole)])


@lru_cache(maxsize=_MOST_UNITS)
def _around_number(
    unit: str, sign: str, rules: Conventions, *, of_one: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The forms of a unit beside `_NUMBER`, which lacks its sign; and behind it as a word, where it
    has the sign."""
    names = () if sign[-1:] in CURRENCIES else unit_names(unit, rules.language, of_one=of_one)
    return tuple(_beside_number(unit, sign, rules)), tuple(f"{_NUMBER} {name}" for name in names)


def _beside_number(unit: str, sign: str, rules: Conventions) -> Iterator[str]:
    number = _NUMBER
    is_currency = unit in CODES or unit[-1] in CURRENCIES
    if is_currency and unit.isalpha():
        # As CLDR has it: with a space between letters and digits.
        first = rules.currency.startswith("{unit}")
        yield f"{unit}\xa0{sign}{number}" if first else f"{sign}{number}\xa0{unit}"
    elif is_currency:
        yield sign + rules.currency.format(number=number, unit=unit)
    elif unit in _RATES:
        yield sign + rules.percent.format(number=number, unit=unit)
    yield f"{sign}{number} {unit}"
    yield f"{sign}{number}{unit}"
    if is_currency:
        for space in ("", " "):
            yield f"{unit}{space}{sign}{number}"
            yield f"{sign}{unit}{space}{number}"
        if unit[0].isalpha() and not unit.isalpha():
            yield f"{sign}{unit[-1]}{number}"  # as $5 for US$5


def _plain(value: Quantity, rules: Conventions) -> Iterator[str]:
    """The number itself, without what stands around it."""
    if rules.digits:
        native = str.maketrans("0123456789", rules.digits)
        for each in _in_digits(value, rules.native_decimal, rules.native_group, rules):
            yield each.translate(native)
    yield from _in_digits(value, rules.decimal, rules.group, rules)


def _in_digits(value: Quantity, decimal: str, group: str, rules: Conventions) -> Iterator[str]:
    fraction = decimal + value.fraction if value.fraction else ""
    plain = (value.whole or "0") + fraction
    if not value.grouped:
        yield plain
        return
    grouped = _grouped(value.whole, group, rules.two_after_three) + fraction
    if len(value.whole) < rules.least_grouped:
        yield plain
        yield grouped
    else:
        yield grouped
        if len(value.whole) == 4:
            yield plain


def _grouped(digits: str, mark: str, two_after_three: bool) -> str:
    end = len(digits) - 3
    width = 2 if two_after_three else 3
    groups = [digits[max(0, at - width) : at] for at in range(end, 0, -width)]
    return mark.join((*reversed(groups), digits[end:]))


def _clock_range(value: Compound, rules: Conventions) -> Iterator[str]:
    parts = [next(_clock(part, rules)) for part in value.parts if isinstance(part, Clock)]
    for sign in dict.fromkeys((*value.signs, *_DASHES)):
        yield _joined(parts, (sign,))


def _compound(value: Compound, rules: Conventions) -> Iterator[tuple[str, ...]]:
    quantities = [part for part in value.parts if isinstance(part, Quantity)]
    parts = [next(_plain(part, rules)) for part in quantities]
    same = _joined(parts, value.signs)
    if len(parts) != 2:
        yield (same,)
        return
    [sign] = value.signs
    dashed = [_joined(parts, (dash,)) for dash in _DASHES]
    short = all(len(part.whole) <= 2 and not part.fraction for part in quantities)
    word = range_word(rules.language)
    worded = [] if word is None else [(f"{parts[0]} {word} {parts[1]}",)]
    if sign in _DASHES:
        yield (same, *dashed)
        yield from worded
    elif sign[0].isspace():
        yield from worded
        yield tuple(dashed[::-1])
    else:
        yield (same,)
        if sign == ":" and short and rules.language != "de":
            yield tuple(dashed)


def _range_of_amounts(value: Compound, rules: Conventions) -> Iterator[tuple[str, ...]]:
    """A range with its unit once, or twice where that stands before numbers."""
    beside, named = _around_number(value.unit, "", rules)
    word = range_word(rules.language)
    between = _DASHES if word is None else (*_DASHES, f" {word} ")
    for spelt in [tuple(dict.fromkeys(each)) for each in _compound(value, rules)]:
        forms = [form.replace(_NUMBER, each) for each in spelt for form in beside]
        if beside[0].startswith(value.unit):
            for each, sign in product(spelt, between):
                first, found, last = each.partition(sign)
                if found:
                    forms.append(f"{value.unit}{first}{sign}{value.unit}{last}")
        yield tuple(forms)
        yield from (tuple([form.replace(_NUMBER, each) for each in spelt]) for form in named)


def _amount(value: Amount, rules: Conventions) -> Iterator[tuple[str, ...]]:
    names = magnitude_names(rules.language)
    if not names:
        return
    number, unit = value.number, value.unit
    if isinstance(number, Quantity):
        one, many, *short = names[value.zeros]
        word = one if number.is_one else many
        plain: list[tuple[str, ...]] = [(each,) for each in _plain(number, rules)]
    else:
        _, word, *short = names[value.zeros]
        plain = list(_compound(number, rules))
    for spelt in plain:
        before = [f"{unit}{space}{each} {word}" for each in spelt for space in ("", " ")]
        behind = [f"{each} {word} {unit}" for each in spelt]
        is_before = rules.currency.startswith("{unit}")
        yield tuple(before + behind if is_before else behind + before)
        for name in unit_names(unit, rules.language):
            yield tuple([f"{each} {word} {name}" for each in spelt])
            yield from ((f"{each} {other} {name}",) for each in spelt for other in short)


def _joined(parts: list[str], signs: tuple[str, ...]) -> str:
    return parts[0] + "".join(sign + part for sign, part in zip(signs, parts[1:], strict=True))


def _clock(value: Clock, rules: Conventions) -> Iterator[str]:
    hour = int(value.hour)
    if value.half:
        hour = hour % 12 + 12 * (value.half == "pm")
    full = value.hour if not value.half else str(hour)
    rest = value.minutes
    if not (value.half and rules.half_days):
        yield from _full_clock(full, rest, rules)
        if len(full) == 2 and full[0] == "0":
            yield from _full_clock(full[1], rest, rules)
    if rules.language == "en" and (value.half or hour >= 13 or hour == 0) and hour < 24:
        half = "am" if hour < 12 else "pm"
        short = ":".join((str(hour % 12 or 12), *rest))
        for name in (half, f"{half[0]}.m.", half.upper()):
            yield f"{short} {name}"
            if not rest:
                yield f"{short}:00 {name}"
        yield f"{short}{half}"
    if value.half and rules.half_days:
        yield from _full_clock(full, rest, rules)


def _full_clock(hour: str, minutes: tuple[str, ...], rules: Conventions) -> Iterator[str]:
    if not minutes:
        yield hour
        minutes = ("00",)
    for mark in dict.fromkeys((rules.clock_mark, ":")):
        yield mark.join((hour, *minutes))
    if rules.language in ("fr", "pt") and len(minutes) == 1:
        yield f"{hour}h" if minutes == ("00",) else f"{hour}h{minutes[0]}"


def _date(value: Date, rules: Conventions) -> Iterator[str]:
    same_everywhere = int(value.day) > 12 or value.day == value.month
    parts = {"d": value.day, "m": value.month, "y": value.year}
    if rules.date_order and (rules.date_certain or same_everywhere):
        order = rules.date_order
        if order == "ymd":
            parts |= {"d": value.day.zfill(2), "m": value.month.zfill(2)}
        yield rules.date_mark.join(parts[part] for part in order)
    if not rules.date_certain:
        # With dots it is the day that comes first, whoever reads it.
        if same_everywhere:
            yield "/".join(value)
        yield ".".join(value)
