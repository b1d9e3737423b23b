"""Numbers that have changed places in a translation."""

from __future__ import annotations

import pytest

from model.text.number_order import in_order
from model.text.runs import Reading, Run

SOURCE = ["am", "8.", "Mai", "um", "9", "Uhr", "und", "am", "29.", "Juni", "mit", "5", "%"]


def shown(target: str, attended: list[int]) -> str:
    """`target`, whose tokens are words, with the numbers that belong where some are."""
    sentence = " ".join(SOURCE)
    runs, places, at = [], [], 0
    for place, word in enumerate(SOURCE):
        if word[0].isdecimal():
            digits = word.rstrip(".")
            forms = (f"{digits}th", digits) if word != digits else (digits,)
            finals = (f"{digits} %",) if digits == "5" else forms
            runs.append(Run(at, at + len(word), word, forms, finals=finals))
            places.append(range(place, place + 1))
        at += len(word) + 1
    words = target.split()
    spans = [
        (place, place + 1, number)
        for place, word in enumerate(words)
        for number, run in enumerate(runs)
        if word in run.forms
    ]
    reading = in_order(Reading(sentence, sentence, runs=tuple(runs)), spans, places, attended)
    for begin, _, number in spans:
        run = reading.runs[number]
        words[begin] = dict(zip(run.forms, run.finals, strict=True))[words[begin]]
    return " ".join(words)


@pytest.mark.parametrize(
    ("target", "attended", "expected"),
    [
        # "May" is what is said of the 8th, "June" of the 29th.
        ("29 May and 8 June", [8, 2, 6, 1, 9], "8 May and 29 June"),
        ("29th May and 8th June", [8, 2, 6, 1, 9], "8th May and 29th June"),
        ("on 29 June and on 8 May", [7, 8, 9, 6, 0, 1, 2], "on 29 June and on 8 May"),
        ("8 May and 29 June", [1, 2, 6, 8, 9], "8 May and 29 June"),
        # Nothing is told by what is beside them.
        ("29 x and 8 y", [8, 12, 12, 1, 12], "29 x and 8 y"),
        # A share stands in no place of another number.
        ("5 May and 8 June", [11, 2, 6, 1, 9], "5 % May and 8 June"),
    ],
)
def test_a_number_stands_where_it_belongs(target: str, attended: list[int], expected: str) -> None:
    assert shown(target, attended) == expected
