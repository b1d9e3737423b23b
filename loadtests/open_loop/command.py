"""`polyhead loadtest`, as far as it needs nothing that is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loadtests.open_loop.errors import LoadTestError

__all__ = ["loadtest"]

_NEEDED = ("httptools", "matplotlib", "psutil", "tabulate", "uvloop")


def loadtest(
    profile: str,
    *,
    as_json: bool,
    report: Path | None,
    results: Path | None,
    **options: Any,
) -> int:
    """Tests a service and prints what was found.

    Args:
        as_json: leaves the tables out.
        report: where to write the page; None takes a new name in `runs/loadtests`.
        results: the line of JSON is added to this file as well.
        options: further ones, by their names in `LoadTestOptions` and `Thresholds`.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        LoadTestError: an option is no good, no service answers, or a threshold was missed.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            raise LoadTestError(
                f"{package} is not installed: pip install 'polyhead[loadtest]' brings it"
            )
    from loadtests.open_loop.run import run

    return run(profile, as_json=as_json, report=report, results=results, **options)
