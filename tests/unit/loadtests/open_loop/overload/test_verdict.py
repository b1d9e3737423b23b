"""Thresholds, notes and words of an overload, and where they stand in a report."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from loadtests.open_loop.figures import Result
from loadtests.open_loop.generator import Ending
from loadtests.open_loop.overload.figures import Overload
from loadtests.open_loop.report import as_page, as_tables
from tests.unit.loadtests.open_loop.overload.overloads import overload_of, usual
from tests.unit.loadtests.open_loop.results import not_answered, result_of


def _result(overload: Overload, **options: Any) -> Result:
    return result_of(
        overload.exchanges,
        elapsed=overload.phases[-1].ended,
        profile_name="overload",
        overload=overload,
        profile=overload.profile,
        **options,
    )


@pytest.mark.parametrize(
    ("thresholds", "misses"),
    [
        ({}, []),
        (
            {
                "min_goodput_share": 0.9, "max_late": 0, "max_refusal_p95_ms": 20,
                "max_without_retry_after": 0, "max_recovery_seconds": 5, "max_failures": 0,
            },
            [],
        ),
        ({"min_goodput_share": 0.96}, ["`overload.goodput_share` must be at least"]),
        ({"max_refusal_p95_ms": 5}, ["`overload.refusal_p95_ms` must be at most 5, but is"]),
        ({"max_recovery_seconds": 1}, ["`overload.recovery_seconds` must be at most 1, but"]),
    ],
)  # fmt: skip
def test_thresholds(thresholds: dict[str, float], misses: list[str]) -> None:
    overload = overload_of(usual(), deadline=5.0)
    found = _result(overload, deadline=5.0, thresholds=thresholds).figures["misses"]
    assert len(found) == len(misses)
    for miss, expected in zip(found, misses, strict=True):
        assert miss.startswith(expected)


def test_each_bad_answer_misses_its_threshold() -> None:
    exchanges = [*usual(), not_answered(35, 504, 6.0), not_answered(35, 429)]
    overload = overload_of(exchanges, deadline=5.0)
    wanted = {"max_late": 0, "max_without_retry_after": 0, "max_failures": 0}
    misses = _result(overload, deadline=5.0, thresholds=wanted).figures["misses"]
    assert [miss.split(" must")[0] for miss in misses] == [
        "`overload.late`",
        "`overload.without_retry_after`",
        "`failure_share`",
    ]


def test_who_never_came_to_the_overload_has_not_passed() -> None:
    whole = overload_of(usual())
    cut = overload_of(usual(), phases=whole.phases[:1])
    wanted = {"min_goodput_share": 0.9, "max_recovery_seconds": 5, "max_refusal_p95_ms": 100}
    result = _result(cut, thresholds=wanted, ending=Ending.INTERRUPTED)
    assert result.figures["misses"] == [
        "`overload.goodput_share` must be at least 0.9, but was not seen",
        "`overload.recovery_seconds` must be at most 5, but was not seen",
    ]
    assert result.figures["notes"][0] == "it was interrupted after 10 s"
    assert re.search(r"goodput share +-\n", as_tables(result.figures))


def test_the_report_says_it_all() -> None:
    result = _result(overload_of(usual(), peak_is_known=False, generator_cpu_seconds=5.0))
    values = json.loads(json.dumps(result.figures))["overload"]
    assert (values["peak_goodput"], values["refused"], values["failed"]) == (100, 2000, 0)
    assert values["refusals_by_status"] == {"503": 2000}
    assert values["recovery_seconds"] == pytest.approx(1.9)
    assert [phase["name"] for phase in values["phases"]] == [
        "search", "before", "peak", "overload", "after",
    ]  # fmt: skip
    text = as_tables(result.figures)
    assert re.search(r"^goodput share +0.95$", text, re.MULTILINE)
    assert re.search(r"^turn shares +0.95, 0.95$|^turn shares +0.95$", text, re.MULTILINE)
    assert "overload, 30 to 40 s" in text
    page = as_page(result)
    assert "Note: the load generator used 50% of a core during the overload." in page
    assert "its peak lies beyond" in page
