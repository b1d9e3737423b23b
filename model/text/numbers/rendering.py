"""How a target language writes the value of a number."""

from __future__ import annotations

from collections.abc import Iterator

from model.text.numbers.conventions import Conventions, conventions
from model.text.numbers.values import Clock, Compound, Date, Number, Ordinal, Quantity, Value
from model.text.numbers.words import number_words, ordinals, range_word, unit_names

__all__ = ["written"]

_MOST_FORMS = 24
_DASHES = ("-", "\u2013")


def written(number: Number, target: str) -> tuple[str, ...]:
    """How a number may be written in a language: the usual form first, at least one, each once.

    What has no value, or a target that CLDR does not know, leaves it as it stands.
    """
    rules = conventions(target)
    if rules is None:
        return (number.text,)
    forms = dict.fromkeys(_forms(number.value, rules))
    return tuple(forms)[:_MOST_FORMS] or (number.text,)


def _forms(value: Value, rules: Conventions) -> Iterator[str]:
    match value:
        case Quantity():
            yield from _quantity(value, rules)
        case Compound():
            yield from _compound(value, rules)
        case Clock():
            yield from _clock(value, rules)
        case Date():
            yield from _date(value, rules)
        case Ordinal():
            yield from ordinals(value.digits, rules.language)


def _quantity(value: Quantity, rules: Conventions) -> Iterator[str]:
    plain = [value.sign + each for each in _plain(value, rules)]
    if not value.unit:
        yield from plain
        if value.whole.isdecimal() and value == Quantity(str(int(value.whole))):
            words = number_words(rules.language)
            if 2 <= int(value.whole) < len(words):
                yield from words[int(value.whole)]
        return
    pattern = rules.percent if value.unit in "%\u2030" else rules.currency
    for each in plain:
        with_unit = pattern.format(number=each.removeprefix(value.sign), unit=value.unit)
        yield value.sign + with_unit
        if value.unit in "%\u2030":
            yield each + value.unit
    for name in unit_names(value.unit, rules.language):
        for each in plain:
            yield f"{each} {name}"


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


def _compound(value: Compound, rules: Conventions) -> Iterator[str]:
    parts = [next(_plain(part, rules)) for part in value.parts]
    yield _joined(parts, value.signs)
    if len(parts) != 2:
        return
    [sign] = value.signs
    short = all(len(part.whole) <= 2 and not part.fraction for part in value.parts)
    if sign in _DASHES:
        for dash in _DASHES:
            yield _joined(parts, (dash,))
        if (word := range_word(rules.language)) is not None:
            yield f"{parts[0]} {word} {parts[1]}"
        if short and rules.language == "de":
            yield _joined(parts, (":",))
    elif sign == ":" and short and rules.language != "de":
        for dash in _DASHES:
            yield _joined(parts, (dash,))


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
