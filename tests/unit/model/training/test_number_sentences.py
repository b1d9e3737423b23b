"""Generated sentences with numbers, and what is counted of their translations."""

from __future__ import annotations

import pytest

from model.text.numbers import find, written
from model.training.number_sentences import (
    KINDS,
    LANGUAGES,
    NumberSentence,
    Slot,
    number_sentences,
    values_kept,
)

PAIRS = [(one, other) for one in LANGUAGES for other in LANGUAGES if one != other]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_sentences_have_all_kinds_and_are_the_same_again(source: str, target: str) -> None:
    sentences = number_sentences(source, target, 60)

    assert sentences == number_sentences(source, target, 60)
    kinds = {slot.kind for sentence in sentences for slot in sentence.slots}
    assert len(kinds) >= len(KINDS) - 1  # ordinals of two genders are of one kind
    for sentence in sentences:
        assert all(slot.text in sentence.text for slot in sentence.slots)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_all_values_are_found_and_written_rightly(source: str, target: str) -> None:
    """Nothing is missed of what is written for the numbers of a sentence, in their places."""
    for sentence in number_sentences(source, target, 96):
        parts, at = [], 0
        for number in find(sentence.text, source):
            parts += [sentence.text[at : number.begin], written(number, target)[0]]
            at = number.end
        translation = "".join([*parts, sentence.text[at:]])

        lost, has_more = values_kept(sentence, translation)
        assert not lost, (sentence.text, translation)
        assert not has_more, (sentence.text, translation)


@pytest.mark.parametrize(
    ("translation", "lost", "has_more"),
    [
        ("Es waren 1.500 Leute für 5 Euro.", [], False),
        ("Es waren 1500 Leute für 5 \u20ac.", [], False),
        ("Es waren 15.000 Leute für 5 Euro.", ["grouped"], True),
        ("Es waren 1.500 Leute für 5 Dollar.", ["money: sign"], False),
        ("Es waren 1.500 Leute für 5 Euro am 3.", [], True),
        ("Es waren 1.500,5 Leute.", ["grouped", "money", "money: sign"], True),
    ],
)
def test_what_is_lost_or_added_is_told(translation: str, lost: list[str], has_more: bool) -> None:
    sentence = NumberSentence(
        text="There were 1,500 people for \u20ac5.",
        slots=(
            Slot(kind="grouped", text="1,500", accepted=("1.500", "1500")),
            Slot(kind="money", text="\u20ac5", accepted=("5",), beside=("\u20ac", "euro")),
        ),
    )

    assert values_kept(sentence, translation) == (lost, has_more)


@pytest.mark.parametrize(
    ("translation", "lost"),
    [
        ("It opens at 7:10.", []),
        ("It opens at 7:10 a.m.", []),
        ("It opens at 7:10 p.m.", ["time: half of the day"]),
    ],
)
def test_an_hour_of_the_other_half_of_the_day_is_another(translation: str, lost: list[str]) -> None:
    slot = Slot(kind="time", text="7.10 Uhr", accepted=("7:10", "7:10 a.m"))
    sentence = NumberSentence(text="Es öffnet um 7.10 Uhr.", slots=(slot,))
    assert values_kept(sentence, translation) == (lost, False)
