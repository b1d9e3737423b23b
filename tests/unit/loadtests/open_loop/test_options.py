"""What a load test refuses before it sends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.thresholds import Thresholds

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
        ({"in_flight": 0}, "`in_flight` must be at least 1, but is 0"),
        ({"max_wait": -1.0}, "`max_wait` must be at least 0, but is -1"),
        ({"timeout": 0.0}, "`timeout` must be more than 0, but is 0"),
        ({"knee_p95_ms": 0.0}, "`knee_p95_ms` must be more than 0, but is 0"),
        ({"text": Path("nowhere.txt")}, "cannot read nowhere.txt"),
        ({"thresholds": Thresholds(min_knee=1.0)}, "constant has no knee"),
        ({"thresholds": Thresholds(max_late=1)}, "`max_late` must be left out: constant is no"),
        ({"thresholds": Thresholds(max_memory_growth=1)}, "must be left out without `pid`"),
        ({"deadline": 1.0}, "`deadline` must be left out: constant sends none"),
        (_OVERLOAD | {"thresholds": Thresholds(min_knee=1.0)}, "overload has no knee"),
        (_OVERLOAD | {"thresholds": Thresholds(max_p95_ms=1.0)}, "overload refuses on purpose"),
        (_OVERLOAD | {"thresholds": Thresholds(max_late=1)}, "left out without `deadline`"),
        (_OVERLOAD | {"factor": 0.5}, "`factor` must be at least 1, but is 0.5"),
        (_OVERLOAD | {"deadline": 0.0}, "`deadline` must be at least 0.001, but is 0"),
        (_OVERLOAD | {"rate": 0.0}, "`rate` must be more than 0, but is 0"),
        (_OVERLOAD | {"peak": 1.0}, "`peak` must be at least 8, but is 1"),
    ],
)
def test_what_is_no_good_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadTestError, match=message):
        LoadTestOptions(**{"profile_name": "constant"} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_p95_ms": -1.0}, "`max_p95_ms` must be at least 0, but is -1"),
        ({"min_throughput": float("nan")}, "`min_throughput` must be at least 0, but is nan"),
        ({"max_failures": 5.0}, "`max_failures` must be at least 0 and at most 1, but is 5"),
    ],
)
def test_what_cannot_be_a_threshold_is_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(LoadTestError, match=message):
        Thresholds(**changes)


def test_the_rest_is_fine() -> None:
    for url in ("http://a", "https://a.test:8443/prefix", "http://[::1]:8000"):
        assert LoadTestOptions(profile_name="steps", url=url).profile.steps
