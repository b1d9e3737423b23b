"""`polyhead loadtest`, as far as it needs nothing that may not be installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from loadtests.open_loop.errors import LoadTestError

__all__ = ["loadtest"]

_NEEDED = ("httptools", "matplotlib", "psutil", "tabulate", "uvloop")


def loadtest(profile: str, **options: Any) -> int:
    """Does what `loadtests.open_loop.run.run` says, or tells which package must be installed."""
    for package in _NEEDED:
        if find_spec(package) is None:
            raise LoadTestError(
                f"{package} is not installed: pip install 'polyhead[loadtest]' brings it"
            )
    from loadtests.open_loop.run import run

    return run(profile, **options)
