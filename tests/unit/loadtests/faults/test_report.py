"""Figures for people and programs, and the verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from loadtests.faults.__main__ import _row, _shortcoming, main
from loadtests.faults.cases import CASES
from loadtests.faults.load import tally_of
from loadtests.open_loop.exchanges import Exchanges
from tests.unit.loadtests.faults.findings import ILL, WELL, findings

_CASE = CASES["gateway-killed"]
_NOTHING = tally_of(Exchanges())


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
    said = _shortcoming(findings(**found), replace(_CASE, **case))
    assert (said is None) == (problem is None)
    assert (problem or "") in (said or "")


def test_a_row_tells_all_figures_and_the_faults() -> None:
    found = findings(after=ILL, retried={"lost": 8, "unavailable": 1}, refused=157)
    assert _row(found).splitlines() == [
        "case gateway-killed, sent 420, failed 2, retried 8 lost, 1 unavailable, worst s 1.50, "
        "without s 0.06, whole after s 2.2, refused 157",
        "  status 500: no",
        "  status 502: no",
    ]


def test_what_never_came_back_has_no_seconds() -> None:
    assert _row(findings(whole_after_seconds=None)).endswith("whole after s -")


def test_what_is_printed_holds_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = findings(after=ILL, refused=3, retried={"lost": 1})
    monkeypatch.setattr("loadtests.faults.__main__.run_case", lambda *_: found)
    assert main(["gateway-killed", "--rate", "20"]) == 1
    *lines, line = capsys.readouterr().out.splitlines()
    [ends] = {tuple(i for i, sign in enumerate(line) if sign == "|") for line in lines}
    assert len(ends) == 8, "the columns of a table stand below each other"
    assert "1 lost" in lines[2]
    record = json.loads(line)
    assert record["bench"] == "faults"
    assert record["plan"]["rate"] == 20.0
    [case] = record["cases"]
    assert case["case"] == "gateway-killed"
    assert case["refused"] == 3
    assert case["before"] == WELL
    assert case["after"]["faults"] == ILL["faults"]
