"""How languages write numbers: CLDR's conventions, read once for each language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from model.text.language_tags import bcp47

__all__ = ["CODES", "CURRENCIES", "SPACES", "Conventions", "conventions"]

_MOST_LANGUAGES = 512
"""Languages whose conventions are kept, some hundred bytes each."""
SPACES = "\u00a0\u202f\u2009"
"""Spaces that group digits in any language."""
CURRENCIES = frozenset(
    "$\xa2\xa3\xa4\xa5\u058f\u060b\u09f2\u09f3\u0af1\u0bf9\u0e3f\u17db\ufdfc"
    + "".join(map(chr, range(0x20A0, 0x20C1)))
)
"""Signs of currencies."""
CODES = {
    "USD": "$", "EUR": "\u20ac", "GBP": "\xa3", "JPY": "\xa5", "CHF": "CHF", "CNY": "", "CAD": "",
    "AUD": "", "NZD": "", "BRL": "R$", "INR": "\u20b9", "RUB": "\u20bd", "SEK": "", "NOK": "",
    "DKK": "", "PLN": "", "CZK": "", "HUF": "", "RON": "", "KRW": "\u20a9", "ILS": "", "ZAR": "",
    "MXN": "", "SGD": "", "HKD": "", "THB": "", "UAH": "", "AED": "", "SAR": "", "EGP": "",
    "IDR": "", "PHP": "", "VND": "", "TWD": "", "ARS": "", "CLP": "", "COP": "", "NGN": "",
}  # fmt: skip
"""Codes of currencies that are no words in capitals, as ALL and TRY are, with their signs."""
_DATE = re.compile(r"(?P<first>[dMy])+(?P<mark>[./-])([dMy])+(?P=mark)([dMy])+")
_UNSEEN = dict.fromkeys(map(ord, "\u200e\u200f\u061c"))
"""Marks of direction."""
_FIRST_DIGITS = {
    "arab": 0x660, "arabext": 0x6F0, "beng": 0x9E6, "deva": 0x966, "gujr": 0xAE6, "guru": 0xA66,
    "khmr": 0x17E0, "knda": 0xCE6, "laoo": 0xED0, "mlym": 0xD66, "mymr": 0x1040, "olck": 0x1C50,
    "orya": 0xB66, "tamldec": 0xBE6, "telu": 0xC66, "thai": 0xE50, "tibt": 0xF20, "cakm": 0x11136,
    "adlm": 0x1E950, "mtei": 0xABF0, "hmnp": 0x1E140,
}  # fmt: skip
"""The zero of each of CLDR's decimal systems in which a language is written by default."""
_SHORT_UNGROUPED = frozenset(("es", "pl", "pt-PT", "bg", "et", "lv", "hu"))
"""Languages that do not group four digits (CLDR's minimumGroupingDigits, which babel lacks)."""
_PATTERN = re.compile(r"[#0][#0.,]*")
_TWO_ORDERS = frozenset(("en",))
"""Languages without a region in which 03/04 is a day in March to some, in April to others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conventions:
    """How one language writes numbers; one object for each."""

    language: str
    """Without its region."""
    decimal: str
    """The decimal sign among ASCII digits."""
    group: str
    """The sign between groups of digits that is written; a space is no-break."""
    two_after_three: bool
    """Whether groups but the last one have two digits: 12,34,567."""
    least_grouped: int
    """Fewest digits of a number that is written in groups."""
    date_order: str
    """"dmy", "mdy" or "ymd" for dates in digits; empty if they are not three runs of digits with
    the same mark between them."""
    date_mark: str
    date_certain: bool
    """Whether a day and a month below 13 can be told apart by their order."""
    clock_mark: str
    """What stands between hours and minutes."""
    half_days: bool
    """Whether a clock has twelve hours."""
    percent: str
    """How a percentage is written, as "{number}{unit}"."""
    currency: str
    """How an amount of a currency is written with its sign, as `percent`."""
    digits: str
    """The ten digits, where they are not ASCII's by default; else empty."""
    native_decimal: str
    native_group: str

    @property
    def groups_by_space(self) -> bool:
        """Whether a space parts groups."""
        return self.group in SPACES


@lru_cache(maxsize=_MOST_LANGUAGES)
def conventions(code: str) -> Conventions | None:
    """Those of a language, by any code that `bcp47` knows; None if CLDR has none."""
    from babel import Locale, UnknownLocaleError  # megabytes that not every process needs

    tag = bcp47(code)
    try:
        locale = Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        return None
    system = locale.default_numbering_system
    symbols = {**locale.number_symbols.get("latn", {})}
    if "decimal" not in symbols:
        return None
    native = {**symbols, **locale.number_symbols.get(system, {})}
    zero = _FIRST_DIGITS.get(system)
    pattern = locale.date_formats["short"].pattern.translate(_UNSEEN)
    date = _DATE.fullmatch(pattern)
    order = "" if date is None else "".join(date.group(1, 3, 4)).lower()
    clock = locale.time_formats["short"].pattern
    return Conventions(
        language=locale.language,
        decimal=symbols["decimal"],
        group=symbols["group"],
        two_after_three=tuple(locale.decimal_formats[None].grouping)[-1] == 2,
        least_grouped=5 if {tag, locale.language} & _SHORT_UNGROUPED else 4,
        date_order=order if sorted(order) == ["d", "m", "y"] else "",
        date_mark="" if date is None else date["mark"],
        date_certain=tag not in _TWO_ORDERS,
        clock_mark="." if re.search(r"[Hh]\.mm", clock) else ":",
        half_days="h" in clock,
        percent=_pattern(locale.percent_formats[None].pattern, "%"),
        currency=_pattern(locale.currency_formats["standard"].pattern, "\xa4"),
        digits="" if zero is None else "".join(chr(zero + value) for value in range(10)),
        native_decimal=native["decimal"],
        native_group=native["group"],
    )


def _pattern(pattern: str, sign: str) -> str:
    """CLDR's pattern with names for its parts."""
    positive = pattern.translate(_UNSEEN).split(";")[0]
    return _PATTERN.sub("{number}", positive).replace(sign, "{unit}")
