"""Why a load test cannot be run, or has not been passed."""

from __future__ import annotations

import math

from model.errors import PolyheadError

__all__ = ["LoadTestError", "require"]


class LoadTestError(PolyheadError):
    """An option, a file or a service is no good, or a threshold was missed; the message says so."""


def require(
    name: str,
    value: float | None,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float | None = None,
) -> None:
    """Checks a number; None, for one that was not given, passes.

    Raises:
        LoadTestError: it is not finite, below `least`, not above `above`, or more than `most`.
    """
    if value is None or (
        math.isfinite(value)
        and value >= least
        and value > above
        and (most is None or value <= most)
    ):
        return
    bound = f"more than {above:g}" if above > -math.inf else f"at least {least:g}"
    upper = "" if most is None else f" and at most {most:g}"
    raise LoadTestError(f"`{name}` must be {bound}{upper}, but is {value:g}")
