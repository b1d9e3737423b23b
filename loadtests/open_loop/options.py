"""What is to be tested, checked when it is said."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, LoadTestError
from loadtests.mix import MIXES, Mix
from loadtests.open_loop.client import Client
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.profiles import PLANNED, Profile, ProfileName, profile_kind, profile_named

__all__ = ["THRESHOLDS", "LoadTestOptions", "misses"]

_OVERLOAD = (ProfileName.OVERLOAD,)


@dataclass(frozen=True)
class _Threshold:
    """A bound of one figure; its name begins with min or max."""

    figure: str
    """Where it stands in the line of JSON."""
    profiles: Collection[ProfileName] = tuple(ProfileName)
    """Those that measure it."""
    needs: str | None = None
    """The option without which it is not measured."""
    may_lack: bool = False
    """Whether a test is passed that has no such figure."""


THRESHOLDS: Mapping[str, _Threshold] = {
    # Percentiles of all requests: whoever loses the slow ones gains nothing.
    "max_p95_ms": _Threshold("p95_ms_of_all", PLANNED),
    "max_p99_ms": _Threshold("p99_ms_of_all", PLANNED),
    "max_failures": _Threshold("failure_share"),
    "min_throughput": _Threshold("throughput", PLANNED),
    "min_knee": _Threshold("knee.offered", (ProfileName.RAMP, ProfileName.STEPS)),
    "min_goodput_share": _Threshold("overload.goodput_share", _OVERLOAD),
    "max_late": _Threshold("overload.late", _OVERLOAD, needs="deadline"),
    # Who refused nobody was quick to do so.
    "max_refusal_p95_ms": _Threshold("overload.refusal_p95_ms", _OVERLOAD, may_lack=True),
    "max_without_retry_after": _Threshold("overload.without_retry_after", _OVERLOAD),
    "max_recovery_seconds": _Threshold("overload.recovery_seconds", _OVERLOAD),
    "max_memory_growth": _Threshold("memory.growth_percent", needs="pid"),
}
"""All of them, by the names of their options."""


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
            was = "was not seen" if value is None else f"is {value:.4g}"
            found.append(f"`{wanted.figure}` must be {bound} {limit:g}, but {was}")
    return found


_PLACES = 256
_PLACES_OVERLOADED = 1024
"""Enough for all that a service keeps, and for the refusals on their way."""
_OVERLOAD_SECONDS = 60
_HIGHEST_OVER_FIRST = 500.0
_VARIETY = 2000
"""Requests that are drawn from a mix beforehand, to be drawn from in turn."""


@dataclass(frozen=True, kw_only=True)
class LoadTestOptions:
    """The options of one test; the command line has seen to the bounds of each number.

    Raises:
        LoadTestError: a value breaks a rule, or a file of texts is no good.
    """

    profile_name: str
    url: str = "http://127.0.0.1:8000"
    foreign: bool = False
    """Whether it is another service, which need not echo X-Request-Id."""
    rate: float = 8.0
    peak: float | None = None
    seconds: int | None = None
    growth: float = 1.25
    mix: str = "realistic"
    source: str = "en"
    target: str = "de"
    models: str | None = None
    """Ids of models that requests name, the most wanted first, with commas; None names none."""
    text: Path | None = None
    """Sentences, one a line; None takes the project's own."""
    paragraphs: Path | None = None
    factor: float = 3.0
    """Multiple of the peak that overload offers."""
    deadline: float | None = None
    """Seconds that a request of overload allows, as a header says; None leaves that out."""
    pid: int | None = None
    """Process id of the service, on this machine; its memory, with all it has started, is told."""
    in_flight: int | None = None
    """None takes 256, in overload 1024."""
    max_wait: float = 1.0
    """Seconds for which a request may wait for a place in flight."""
    timeout: float = 60.0
    """Seconds from the sending, after which a request without an answer has failed."""
    knee_p95_ms: float | None = None
    """The p95 of a step that holds; None takes five times that of the first step."""
    seed: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Bounds by their names in `THRESHOLDS`."""

    def __post_init__(self) -> None:
        kind = profile_kind(self.profile_name)
        if kind is not ProfileName.OVERLOAD:
            _ = self.profile
            if self.deadline is not None:
                raise LoadTestError(f"`deadline` must be left out: {kind} sends none")
        elif self.highest_rate < self.rate:
            least = f"must be at least `rate`, {self.rate:g}"
            raise LoadTestError(f"`peak` {least}, but is {self.highest_rate:g}")
        for name in self.thresholds:
            bound = THRESHOLDS[name]
            if kind not in bound.profiles:
                raise LoadTestError(f"`{name}` must be left out: {kind} does not measure it")
            if bound.needs is not None and getattr(self, bound.needs) is None:
                raise LoadTestError(f"`{name}` must be left out without `{bound.needs}`")
        if not _is_address(self.url):
            raise LoadTestError(f"`url` must be like http://HOST:PORT, but is {self.url!r}")
        if self.mix not in MIXES:
            raise LoadTestError(f"`mix` must be one of {', '.join(MIXES)}, but is {self.mix!r}")
        _ = self.requests

    @property
    def places(self) -> int:
        """Most requests in flight."""
        overloaded = self.profile_name == ProfileName.OVERLOAD
        return self.in_flight or (_PLACES_OVERLOADED if overloaded else _PLACES)

    @property
    def overload_seconds(self) -> float:
        """Length of the overload in all its turns; no other phase is longer."""
        return float(_OVERLOAD_SECONDS if self.seconds is None else self.seconds)

    @property
    def highest_rate(self) -> float:
        """Requests a second up to which overload looks for the peak."""
        return _HIGHEST_OVER_FIRST * self.rate if self.peak is None else self.peak

    @property
    def profile(self) -> Profile:
        """Rates and times; LoadTestError for overload, where nobody knows them yet."""
        return profile_named(
            self.profile_name,
            rate=self.rate,
            peak=self.peak,
            seconds=self.seconds,
            growth=self.growth,
        )

    @cached_property
    def requests(self) -> Mix:
        """The requests to draw from."""
        corpus = Corpus.read(self.text or DEFAULT_SENTENCES, self.paragraphs or DEFAULT_PARAGRAPHS)
        models = self.models.split(",") if self.models else ()
        return Mix(self.mix, corpus, self.source, self.target, models)

    def generator(self, client: Client) -> Generator:
        """A load generator with requests drawn from the mix."""
        rng = random.Random(self.seed)
        limits = () if self.deadline is None else (f"{self.deadline:.3f}",)
        return Generator(
            client,
            [self.requests.draw(rng) for _ in range(_VARIETY)],
            rng=rng,
            places=self.places,
            max_wait=self.max_wait,
            timeout=self.timeout,
            echoes_ids=not self.foreign,
            headers=[f"X-Request-Timeout-Seconds: {limit}" for limit in limits],
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # ValueError for what is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
