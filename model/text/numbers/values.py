"""What numbers mean: the values that recognition finds and rendering writes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = [
    "Amount",
    "Clock",
    "Compound",
    "Date",
    "Number",
    "Ordinal",
    "Quantity",
    "Unchanged",
    "Value",
]


class Quantity(NamedTuple):
    """A whole or decimal number."""

    whole: str
    """ASCII digits, leading zeros as written; empty in ".5"."""
    fraction: str = ""
    """ASCII digits behind the decimal sign; empty for whole numbers."""
    grouped: bool = False
    """Whether the digits of `whole` are written in groups."""
    native: bool = False
    """Whether it is written in other digits than ASCII's."""
    sign: str = ""
    """Before it, as written: "-", "+", "\u00b1" and the like; "$" if the unit is a code, too."""
    thousands: bool = False
    """Whether the last three zeros are a word."""
    unit: str = ""
    """With it: "%", "\u2030", the sign or the code of a currency, or what is measured, as "MB"."""

    @property
    def is_one(self) -> bool:
        """Whether what it counts is one, as it is written."""
        return self.whole == "1" and not self.fraction


class Ordinal(NamedTuple):
    """A place in an order, as 3rd."""

    digits: str


class Clock(NamedTuple):
    """A time of day."""

    hour: str
    """One or two digits: 0 to 24, or 1 to 12 with `half`."""
    minutes: tuple[str, ...] = ()
    """Two digits each: minutes, and perhaps seconds."""
    half: str = ""
    """"am" or "pm" if the text tells the halves of a day apart."""


class Date(NamedTuple):
    """A day of the calendar in digits, each part as it is padded."""

    day: str
    month: str
    year: str


class Unchanged(NamedTuple):
    """Digits, and signs between them, that are not written as their language writes a value."""


class Compound(NamedTuple):
    """Numbers with signs between them, as in ranges, ratios and scores."""

    parts: tuple[Quantity, ...] | tuple[Clock, Clock]
    """From one time of day to another only where a text tells the halves of a day apart."""
    signs: tuple[str, ...]
    """One fewer."""
    unit: str = ""
    """With both of a range, as `Quantity.unit`: that of $5-10, \u20ac5-\u20ac10 and 5-10%."""


class Amount(NamedTuple):
    """Money with a word for its zeros, as in \u20ac5 million and $5-10bn."""

    number: Quantity | Compound
    """Without a unit."""
    zeros: int
    """6, 9 or 12."""
    unit: str
    """The sign of the currency."""


Value: TypeAlias = Quantity | Ordinal | Clock | Date | Compound | Amount | Unchanged


class Number(NamedTuple):
    """A number of a text, from `begin` to `end`."""

    begin: int
    end: int
    text: str
    """What stands there, or how that is written in digits."""
    value: Value
