"""What follows from the metadata of an option."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import pytest

from model.config import GENERATION_OPTIONS, SEQUENCE_OPTIONS, GenerationConfig
from model.errors import InvalidRequestError
from model.options import option, options_of


class _Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, kw_only=True)
class _Options:
    count: int = option(3, least=1, most=9)
    share: float = option(0.5, least=0, most=1, most_in_requests=0, request="A share.")
    limit: int | None = option(None, least=2)
    colour: _Colour = option(_Colour.RED)
    bright: bool = option(False)


COUNT, SHARE, LIMIT, COLOUR, BRIGHT = options_of(_Options)


def test_types_and_rules_come_from_the_field() -> None:
    assert [(each.name, each.kind, each.optional) for each in options_of(_Options)] == [
        ("count", int, False),
        ("share", float, False),
        ("limit", int, True),
        ("colour", _Colour, False),
        ("bright", bool, False),
    ]
    assert (COUNT.default, COUNT.most_in_requests, COUNT.request) == (3, 9, None)
    assert (SHARE.most, SHARE.most_in_requests, SHARE.request) == (1, 0, "A share.")


@pytest.mark.parametrize(
    ("each", "value", "message"),
    [
        (COUNT, 0, "`count` must be an integer >= 1, but is 0"),
        (COUNT, 10, r"`count` must be in \[1, 9\], but is 10"),
        (COUNT, 2.0, "`count` must be an integer >= 1, but is 2.0"),
        (COUNT, None, "`count` must be an integer >= 1, but is None"),
        (SHARE, 1.5, r"`share` must be in \[0, 1\], but is 1.5"),
        (SHARE, True, "`share` must be a number, but is True"),
        (LIMIT, 1, "`limit` must be an integer >= 2, but is 1"),
        (COLOUR, "blue", "`colour` must be one of red, green, but is 'blue'"),
        (COLOUR, [], r"`colour` must be one of red, green, but is \[\]"),
        (BRIGHT, 1, "`bright` must be true or false, but is 1"),
    ],
)
def test_what_breaks_a_rule_is_named(each: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        each.check(value)


def test_what_keeps_the_rules_passes() -> None:
    for each, value in ((COUNT, 1), (COUNT, 9), (SHARE, 1), (LIMIT, None), (LIMIT, 10**20)):
        each.check(value)


def test_integers_end_where_32_bits_do() -> None:
    assert LIMIT.in_32_bits(_Options(limit=2**40)) == 2**31 - 1
    assert SHARE.in_32_bits(_Options(share=0.25)) == 0.25


def test_names_and_truths_are_integers_to_runners() -> None:
    assert [COLOUR.in_32_bits(_Options(colour=each)) for each in _Colour] == [0, 1]
    assert [BRIGHT.in_32_bits(_Options(bright=each)) for each in (False, True)] == [0, 1]


def test_runners_read_what_a_sequence_does_not_carry_otherwise() -> None:
    names = {each.name for each in fields(GenerationConfig)}
    assert {each.name for each in GENERATION_OPTIONS} == names
    assert names - {each.name for each in SEQUENCE_OPTIONS} == {
        "beam_size",
        "max_new_tokens",
        "max_new_tokens_over_source",
        "max_length_factor",
    }


@pytest.mark.parametrize("each", [each for each in GENERATION_OPTIONS if each.guard])
def test_a_guard_that_is_not_at_its_default_constrains(each: Any) -> None:
    assert not GenerationConfig().constrained
    other = True if each.kind is bool else each.default + 2
    assert GenerationConfig(**{each.name: other}).constrained
