"""How many requests a second are offered, and when: load as a function of time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from loadtests.corpus import LoadTestError

__all__ = [
    "PLANNED",
    "Profile",
    "ProfileName",
    "Segment",
    "constant",
    "poisson_arrivals",
    "profile_kind",
    "profile_named",
]

_RAMP_WINDOWS = 12
_MOST_STEPS = 100
_SPIKE_SHARES = (0.4, 0.2, 0.4)
"""Shares of the time: before the spike, the spike, and after it, when a backlog must melt."""


class ProfileName(StrEnum):
    """The profiles; `profile_named` says what `--rate`, `--peak` and `--seconds` mean in each."""

    CONSTANT = "constant"
    RAMP = "ramp"
    STEPS = "steps"
    SPIKE = "spike"
    SOAK = "soak"
    OVERLOAD = "overload"
    """Its rates follow from what the service bears: `loadtests.open_loop.overload` finds them."""


PLANNED = tuple(name for name in ProfileName if name is not ProfileName.OVERLOAD)
"""Those whose rates are known before anything is sent."""
_SECONDS = {
    ProfileName.CONSTANT: 60,
    ProfileName.RAMP: 180,
    ProfileName.STEPS: 15,
    ProfileName.SPIKE: 150,
    ProfileName.SOAK: 1200,
}
_PEAKS = {ProfileName.RAMP: 20.0, ProfileName.STEPS: 100.0, ProfileName.SPIKE: 5.0}
"""Multiples of the rate, for those profiles that have a peak."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A time in which the rate changes evenly, or not at all."""

    seconds: float
    first: float
    """Requests a second at its beginning."""
    last: float
    """Requests a second at its end."""

    def rate(self, elapsed: float) -> float:
        """Requests a second, `elapsed` seconds after its beginning."""
        return self.first + (self.last - self.first) * elapsed / self.seconds


def constant(rate: float, seconds: float) -> Segment:
    """A segment at one rate."""
    return Segment(seconds=seconds, first=rate, last=rate)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Segments, one after another."""

    name: ProfileName
    segments: tuple[Segment, ...]
    step_seconds: int | None = None
    """Length of the stretches that are judged each for itself to find the knee; None for profiles
    that look for none."""

    @property
    def seconds(self) -> float:
        """Length of the whole."""
        return sum(segment.seconds for segment in self.segments)

    def pieces(self, seconds: float) -> Iterator[Segment]:
        """The same load in segments of at most that length."""
        for whole in self.segments:
            edges = [*np.arange(0.0, whole.seconds, seconds).tolist(), whole.seconds]
            for began, ended in pairwise(edges):
                length, first, last = ended - began, whole.rate(began), whole.rate(ended)
                yield Segment(seconds=length, first=first, last=last)

    @property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """Beginning and end of each stretch that is judged for itself, in seconds."""
        if self.step_seconds is None:
            return ()
        length = self.step_seconds
        beginnings = range(0, int(self.seconds) - length + 1, length)
        return tuple((beginning, beginning + length) for beginning in beginnings)


def profile_named(
    name: str,
    *,
    rate: float,
    peak: float | None = None,
    seconds: int | None = None,
    growth: float = 1.25,
) -> Profile:
    """One of those that `PLANNED` lists.

    Args:
        rate: requests a second: of constant and soak; at the beginning of ramp; of the first step;
            before and after the spike.
        peak: requests a second at the end of ramp, at most in steps, in the spike; None takes 20,
            100 and 5 times `rate`.
        seconds: length of the whole, but of each step in steps; None takes a useful one.
        growth: of each step over the one before.

    Raises:
        LoadTestError: there is no such profile, or a number is no good.
    """
    kind = profile_kind(name)
    if kind not in PLANNED:
        raise LoadTestError(f"the rates of {kind} are not known beforehand")
    if peak is not None and kind not in _PEAKS:
        raise LoadTestError(f"`peak` must not be given for {kind}: its rate never changes")
    peak = rate * _PEAKS.get(kind, 1.0) if peak is None else peak
    seconds = _SECONDS[kind] if seconds is None else seconds
    if peak < rate:
        raise LoadTestError(f"`peak` must be at least `rate`, {rate:g}, but is {peak:g}")
    step_seconds = None
    match kind:
        case ProfileName.RAMP:
            segments = [Segment(seconds=seconds, first=rate, last=peak)]
            step_seconds = max(1, seconds // _RAMP_WINDOWS)
        case ProfileName.SPIKE:
            rates = (rate, peak, rate)
            segments = [constant(rates[i], seconds * _SPIKE_SHARES[i]) for i in range(3)]
        case ProfileName.STEPS:
            segments = [constant(step, seconds) for step in _step_rates(rate, peak, growth)]
            step_seconds = seconds
        case _:
            segments = [constant(rate, seconds)]
    return Profile(name=kind, segments=tuple(segments), step_seconds=step_seconds)


def profile_kind(name: str) -> ProfileName:
    """The one that is called that; LoadTestError for a name that is none."""
    try:
        return ProfileName(name)
    except ValueError:
        allowed = ", ".join(ProfileName)
        raise LoadTestError(f"the profile must be one of {allowed}, but is {name!r}") from None


def _step_rates(rate: float, peak: float, growth: float) -> list[float]:
    count = 1 + math.floor(math.log(peak / rate) / math.log(growth) + 1e-9)
    if count > _MOST_STEPS:
        raise LoadTestError(
            f"`growth` must lead from `rate` to `peak` in at most {_MOST_STEPS} steps, "
            f"but needs {count}"
        )
    return [rate * growth**number for number in range(count)]


def poisson_arrivals(segment: Segment, rng: random.Random) -> Iterator[float]:
    """Seconds from the beginning, ascending: independent people, at the rates of a segment.

    What a Poisson process does next does not depend on when it did something last: one segment
    after another is one process, too.
    """
    # Drawn at the highest rate, and thinned where the rate is lower.
    highest = max(segment.first, segment.last)
    elapsed = rng.expovariate(highest)
    while elapsed < segment.seconds:
        if rng.random() * highest < segment.rate(elapsed):
            yield elapsed
        elapsed += rng.expovariate(highest)
