"""Figures for people and programs, and the verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from loadtests.faults.cases import CASES
from loadtests.faults.load import Tally
from loadtests.faults.report import json_line, row, shortcoming, table
from loadtests.faults.run import Plan
from loadtests.open_loop.exchanges import Exchanges
from tests.unit.loadtests.faults.findings import ILL, WELL, findings

_CASE = CASES["gateway-killed"]
_NOTHING = Tally.of(Exchanges())


@pytest.mark.parametrize(
    ("found", "case", "problem"),
    [
        ({}, {}, None),
        ({"after": ILL}, {}, "no request may fail"),
        ({"after": ILL}, {"one_front": True}, None),
        ({"whole_after_seconds": None}, {}, "the service must be whole again"),
        ({"whole_after_seconds": None}, {"ends_service": True}, None),
        ({"whole_after_seconds": None}, {"lasting": True}, None),
        ({"whole_after_seconds": None}, {"one_front": True}, "the service must be whole again"),
        ({"whole_after_seconds": None, "after": ILL}, {"ends_service": True}, "no request may"),
        ({"before": ILL}, {"one_front": True}, "before the fault"),
        ({"before": _NOTHING}, {}, "before the fault"),
        # All that came later may have been refused.
        ({"after": _NOTHING, "whole_after_seconds": None}, {"ends_service": True}, None),
    ],
)
def test_the_verdict(found: dict[str, Any], case: dict[str, Any], problem: str | None) -> None:
    said = shortcoming(findings(**found), replace(_CASE, **case))
    assert (said is None) == (problem is None)
    assert (problem or "") in (said or "")


def test_a_row_tells_all_figures_and_the_faults() -> None:
    found = findings(after=ILL, retried={"lost": 8, "unavailable": 1}, refused=157)
    assert row(found).splitlines() == [
        "case gateway-killed, sent 420, failed 2, retried 8 lost, 1 unavailable, worst s 1.50, "
        "without s 0.06, whole after s 2.2, refused 157",
        "  status 500: no",
        "  status 502: no",
    ]


def test_what_never_came_back_has_no_seconds() -> None:
    assert row(findings(whole_after_seconds=None)).endswith("whole after s -")


def test_the_columns_of_a_table_stand_below_each_other() -> None:
    lines = table([findings(), findings(case="a", retried={"lost": 1})]).splitlines()
    assert len(lines) == 4
    [ends] = {tuple(i for i, sign in enumerate(line) if sign == "|") for line in lines}
    assert len(ends) == 8
    assert set(lines[1]) <= set("|-: ")
    assert "1 lost" in lines[3]


def test_the_json_line_holds_everything() -> None:
    plan = Plan(rate=20.0)
    line = json_line([findings(after=ILL, refused=3)], plan)
    assert "\n" not in line
    record = json.loads(line)
    assert record["bench"] == "faults"
    assert record["plan"]["rate"] == 20.0
    assert record["plan"].keys() == vars(plan).keys()
    [case] = record["cases"]
    assert case["case"] == "gateway-killed"
    assert case["refused"] == 3
    assert case["before"] == vars(WELL) | {"faults": []}
    assert case["after"]["faults"] == list(ILL.faults)
