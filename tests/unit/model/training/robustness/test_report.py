"""Rates are of cases, counts are of failures."""

import pytest

from model.training.robustness.cases import Case, RobustnessSet
from model.training.robustness.report import check_translations

CASES = RobustnessSet(
    source="en",
    target="de",
    cases={
        "short": (Case(text="Yes", says=("ja",)), Case(text="No", says=("nein",))),
        "numbers": (Case(text="It is 5 o'clock.", says=("uhr",)),),
    },
)


def test_rates_and_counts() -> None:
    report = check_translations(CASES, ["Ja", "", "Es ist 6."])
    assert report.summary() == {
        "num_cases": 3,
        "pass_rate": 0.3333,
        "failures": {"empty": 1, "numbers": 1, "says": 1},
        "categories": {"short": 0.5, "numbers": 0.0},
    }
    assert [(failed.category, failed.failures) for failed in report.failed] == [
        ("short", ("empty",)),
        ("numbers", ("numbers", "says")),
    ]


def test_the_table_has_a_row_for_each_category_and_one_for_all() -> None:
    rows = [row.split(maxsplit=3) for row in check_translations(CASES, ["Ja", "", "6"]).table()]
    assert rows == [
        ["category", "cases", "passed", "failures"],
        ["short", "2", "50.0%", "empty 1"],
        ["numbers", "1", "0.0%", "numbers 1, says 1"],
        ["all", "3", "33.3%", "empty 1, numbers 1, says 1"],
    ]


def test_every_text_needs_its_translation() -> None:
    with pytest.raises(ValueError, match="shorter"):
        check_translations(CASES, ["Ja"])
