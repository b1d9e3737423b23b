"""What a load test refuses before it sends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from loadtests.corpus import LoadTestError
from loadtests.open_loop.options import LoadTestOptions
from service.cli.measuring import loadtest

_OVERLOAD = {"profile_name": "overload"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile_name": "flat"}, "the profile must be one of"),
        ({"url": "127.0.0.1:8000"}, "`url` must be like http://HOST:PORT"),
        ({"url": "ftp://a"}, "`url` must be like http://HOST:PORT"),
        ({"url": "http://a:b"}, "`url` must be like http://HOST:PORT"),
        ({"url": "http://a:99999"}, "`url` must be like http://HOST:PORT"),
        ({"url": "http://[::1"}, "`url` must be like http://HOST:PORT"),
        ({"mix": "all"}, "`mix` must be one of realistic, .*, but is 'all'"),
        ({"text": Path("nowhere.txt")}, "cannot read nowhere.txt"),
        (
            {"thresholds": {"min_knee": 1.0}},
            "`min_knee` must be left out: constant does",
        ),
        ({"thresholds": {"max_late": 1}}, "`max_late` must be left out: constant does not"),
        ({"thresholds": {"max_memory_growth": 1}}, "must be left out without `pid`"),
        ({"deadline": 1.0}, "`deadline` must be left out: constant sends none"),
        (_OVERLOAD | {"thresholds": {"min_knee": 1.0}}, "overload does not measure it"),
        (_OVERLOAD | {"thresholds": {"max_p95_ms": 1.0}}, "overload does not measure it"),
        (_OVERLOAD | {"thresholds": {"max_late": 1}}, "left out without `deadline`"),
        (_OVERLOAD | {"peak": 1.0}, "`peak` must be at least `rate`, 8, but is 1"),
    ],
)
def test_what_is_no_good_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadTestError, match=message):
        LoadTestOptions(**{"profile_name": "constant"} | changes)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--in-flight", "0"),
        ("--max-wait", "-1"),
        ("--timeout", "0"),
        ("--knee-p95-ms", "0"),
        ("--factor", "0.5"),
        ("--deadline", "0"),
        ("--rate", "0"),
        ("--rate", "inf"),
        ("--growth", "1"),
        ("--seconds", "0"),
        ("--max-p95-ms", "-1"),
        ("--max-failures", "5"),
    ],
)
def test_numbers_have_bounds(option: str, value: str) -> None:
    app = typer.Typer()
    app.command()(loadtest)
    ran = CliRunner().invoke(app, ["constant", option, value])
    assert ran.exit_code == 2
    assert f"Invalid value for '{option}'" in " ".join(ran.stderr.split())


def test_the_rest_is_fine() -> None:
    for url in ("http://a", "https://a.test:8443/prefix", "http://[::1]:8000"):
        assert LoadTestOptions(profile_name="steps", url=url).profile.steps
