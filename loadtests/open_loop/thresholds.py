"""What a service must reach to pass a load test."""

from __future__ import annotations

from dataclasses import dataclass, fields

from loadtests.open_loop.errors import LoadTestError, require
from loadtests.open_loop.profiles import ProfileName

__all__ = ["Thresholds", "at_least", "at_most"]

_SHARES = ("max_failures", "max_without_retry_after")
_OF_OVERLOAD = (
    "min_goodput_share",
    "max_late",
    "max_refusal_p95_ms",
    "max_without_retry_after",
    "max_recovery_seconds",
)
_OF_ALL_REQUESTS = ("max_p95_ms", "max_p99_ms", "min_throughput")
"""Those that mean nothing in an overload: it has phases too unlike each other."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The bounds; None asks for nothing.

    Raises:
        LoadTestError: a value cannot be a threshold.
    """

    max_p95_ms: float | None = None
    max_p99_ms: float | None = None
    max_failures: float | None = None
    """Share of the requests, those that could not be sent included."""
    min_throughput: float | None = None
    """Right answers a second."""
    min_knee: float | None = None
    """Requests a second."""
    min_goodput_share: float | None = None
    """Share of the peak goodput, during the overload."""
    max_late: float | None = None
    """Accepted requests that miss their deadline."""
    max_refusal_p95_ms: float | None = None
    """From the sending of a request that is refused during the overload."""
    max_without_retry_after: float | None = None
    """Share of the refusals."""
    max_recovery_seconds: float | None = None
    """From the end of the overload until answers are as quick as before."""
    max_memory_growth: float | None = None
    """Percent by which the last quarter's mean is above that of the second quarter."""

    def __post_init__(self) -> None:
        for field in fields(self):
            most = 1.0 if field.name in _SHARES else None
            require(field.name, getattr(self, field.name), least=0.0, most=most)

    def check(self, kind: ProfileName, *, has_steps: bool) -> None:
        """Refuses what a profile does not measure.

        Raises:
            LoadTestError: a threshold must be left out.
        """
        if self.min_knee is not None and not has_steps:
            raise LoadTestError(f"`min_knee` must be left out: {kind} has no knee")
        overloaded = kind is ProfileName.OVERLOAD
        for name in _OF_ALL_REQUESTS if overloaded else _OF_OVERLOAD:
            if getattr(self, name) is not None:
                reason = "refuses on purpose" if overloaded else "is no overload"
                raise LoadTestError(f"`{name}` must be left out: {kind} {reason}")


def at_least(
    name: str, value: float | None, least: float | None, *, unit: str = "", without: str = ""
) -> str | None:
    """What is to be said if a figure is below its threshold; None if there is nothing to say.

    Args:
        without: what was, where there is no figure.
    """
    if least is None or (value is not None and value >= least):
        return None
    was = without or "there is none" if value is None else f"is {value:.4g}"
    return f"{name} must be at least {least:g}{unit}, but {was}"


def at_most(
    name: str, value: float | None, most: float | None, *, unit: str = "", without: str = ""
) -> str | None:
    """The same of a figure that is above its threshold."""
    if most is None or (value is not None and value <= most):
        return None
    was = without or "was not seen" if value is None else f"is {value:.4g}{unit}"
    return f"{name} must be at most {most:g}{unit}, but {was}"
