"""What a service must reach to pass a load test: bounds of the figures of its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.open_loop.profiles import PLANNED, ProfileName

__all__ = ["THRESHOLDS", "check", "misses"]

_OVERLOAD = (ProfileName.OVERLOAD,)


@dataclass(frozen=True)
class _Threshold:
    """A bound of one figure; its name begins with min or max."""

    words: str
    figure: str
    """Where it stands in the line of JSON."""
    unit: str = ""
    profiles: Collection[ProfileName] = tuple(ProfileName)
    """Those that measure it."""
    needs: str | None = None
    """The option without which it is not measured."""
    may_lack: bool = False
    """Whether a test is passed that has no such figure."""


THRESHOLDS: Mapping[str, _Threshold] = {
    # Percentiles of all requests: whoever loses the slow ones gains nothing.
    "max_p95_ms": _Threshold("p95", "p95_ms_of_all", " ms", PLANNED),
    "max_p99_ms": _Threshold("p99", "p99_ms_of_all", " ms", PLANNED),
    "max_failures": _Threshold("the share of failures", "failure_share"),
    "min_throughput": _Threshold("throughput", "throughput", " requests/s", PLANNED),
    "min_knee": _Threshold(
        "the knee", "knee.offered", " requests/s", (ProfileName.RAMP, ProfileName.STEPS)
    ),
    "min_goodput_share": _Threshold(
        "the goodput, as a share of the peak,", "overload.goodput_share", "", _OVERLOAD
    ),
    "max_late": _Threshold(
        "the number of late answers", "overload.late", "", _OVERLOAD, needs="deadline"
    ),
    # Who refused nobody was quick to do so.
    "max_refusal_p95_ms": _Threshold(
        "p95 of the refusals", "overload.refusal_p95_ms", " ms", _OVERLOAD, may_lack=True
    ),
    "max_without_retry_after": _Threshold(
        "the share of refusals without Retry-After", "overload.without_retry_after", "", _OVERLOAD
    ),
    "max_recovery_seconds": _Threshold(
        "the recovery", "overload.recovery_seconds", " s", _OVERLOAD
    ),
    "max_memory_growth": _Threshold(
        "the growth of memory", "memory.growth_percent", " %", needs="pid"
    ),
}
"""All of them, by the names of their options."""


def check(limits: Mapping[str, float], kind: ProfileName, options: Mapping[str, Any]) -> None:
    """Refuses bounds of what is not measured.

    Raises:
        LoadTestError: a threshold must be left out.
    """
    for name in limits:
        wanted = THRESHOLDS[name]
        if kind not in wanted.profiles:
            raise LoadTestError(f"`{name}` must be left out: {kind} does not measure it")
        if wanted.needs is not None and options[wanted.needs] is None:
            raise LoadTestError(f"`{name}` must be left out without `{wanted.needs}`")


def misses(limits: Mapping[str, float], figures: Mapping[str, Any]) -> list[str]:
    """What the thresholds ask for and was not reached; nothing, if the test was passed."""
    found = []
    for name, limit in limits.items():
        wanted = THRESHOLDS[name]
        value: Any = figures
        for key in wanted.figure.split("."):
            # What was not measured, or not seen, is None, at any level.
            value = None if value is None else value[key]
        if value is None and wanted.may_lack:
            continue
        is_least = name.startswith("min")
        if value is None or (value < limit if is_least else value > limit):
            bound = "at least" if is_least else "at most"
            was = "was not seen" if value is None else f"is {value:.4g}{wanted.unit}"
            found.append(f"{wanted.words} must be {bound} {limit:g}{wanted.unit}, but {was}")
    return found
