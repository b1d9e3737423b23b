"""What cannot be measured is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.bench.errors import BenchError
from loadtests.gateway_cost.options import Front, Options


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"fronts": ()}, "`fronts` must be one or more different ones"),
        ({"fronts": (Front.BARE, Front.BARE)}, "`fronts` must be one or more different ones"),
        ({"clients": ()}, "`clients` must be one or more different ones"),
        ({"clients": (1, 0)}, "`clients` must be 1 to 256, but is 0"),
        ({"clients": (257,)}, "`clients` must be 1 to 256, but is 257"),
        ({"rounds": 0}, "`rounds` must be at least 1, but is 0"),
        ({"seconds": 0}, "`seconds` must be above 0 and at most 600, but is 0"),
        ({"seconds": float("nan")}, "`seconds` must be above 0"),
    ],
)
def test_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(BenchError, match=problem):
        Options(**given)


def test_everything_is_measured_unless_told_otherwise() -> None:
    assert Options().fronts == tuple(Front)
    assert Options().rounds >= 3
