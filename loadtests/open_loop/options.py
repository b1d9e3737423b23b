"""What is to be tested, checked when it is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, CorpusError
from loadtests.mix import MIXES, LanguagePair
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.profiles import Profile, ProfileName, profile_kind, profile_named

__all__ = ["LoadTestOptions", "Thresholds"]

_PLACES = 256
_PLACES_OVERLOADED = 1024
"""Enough for all that a service keeps, and for the refusals on their way."""
_OVERLOAD_SECONDS = 60
_HIGHEST_OVER_FIRST = 500.0
_SHORTEST_DEADLINE = 0.001


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a service must reach to pass; None asks for nothing.

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
    """Of the peak goodput, during the overload."""
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
            value = getattr(self, field.name)
            if value is not None and not 0.0 <= value < math.inf:
                raise LoadTestError(f"`{field.name}` must be 0 or more, but is {value:g}")
        for name in ("max_failures", "max_without_retry_after"):
            value = getattr(self, name)
            if value is not None and value > 1.0:
                raise LoadTestError(f"`{name}` must be a share from 0 to 1, but is {value:g}")

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


_OF_OVERLOAD = (
    "min_goodput_share",
    "max_late",
    "max_refusal_p95_ms",
    "max_without_retry_after",
    "max_recovery_seconds",
)
_OF_ALL_REQUESTS = ("max_p95_ms", "max_p99_ms", "min_throughput")
"""Those whom an overload shows nothing of: it has phases too unlike each other."""


@dataclass(frozen=True, kw_only=True)
class LoadTestOptions:
    """Of one test.

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
    text: Path | None = None
    """Sentences, one a line; None takes the project's own."""
    paragraphs: Path | None = None
    factor: float = 3.0
    """Of the peak, what overload offers."""
    deadline: float | None = None
    """Seconds that a request of overload allows, as a header says; None leaves that out."""
    pid: int | None = None
    """Of the service, on this machine: the memory of it and of all it has started is looked at."""
    in_flight: int | None = None
    """None takes 256, in overload 1024."""
    max_wait: float = 1.0
    """Seconds for which a request may wait for a place in flight."""
    timeout: float = 60.0
    """Seconds without a word from the service, after which a request has failed."""
    processes: int = 1
    """Load generators on this machine."""
    workers: int = 0
    """Load generators to wait for that are started elsewhere; they take the place of those here."""
    knee_p95_ms: float | None = None
    """The p95 of a step that holds; None takes five times that of the first step."""
    seed: int = 0
    thresholds: Thresholds = Thresholds()

    def __post_init__(self) -> None:
        _ = self.corpus
        kind = profile_kind(self.profile_name)
        if kind is ProfileName.OVERLOAD:
            self._check_overload()
        elif self.deadline is not None:
            raise LoadTestError(f"`deadline` must be left out: {kind} sends none")
        has_steps = kind is not ProfileName.OVERLOAD and bool(self.profile.steps)
        self.thresholds.check(kind, has_steps=has_steps)
        if not _is_address(self.url):
            raise LoadTestError(f"`url` must be like http://HOST:PORT, but is {self.url!r}")
        if self.mix not in MIXES:
            raise LoadTestError(f"`mix` must be one of {', '.join(MIXES)}, but is {self.mix!r}")
        for name, least in (("in_flight", 1), ("processes", 1), ("workers", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise LoadTestError(f"`{name}` must be at least {least}, but is {value}")
        if self.processes > 1 and self.workers:
            raise LoadTestError("`processes` and `workers` must not be given together")
        if not 0.0 <= self.max_wait < math.inf:
            raise LoadTestError(f"`max_wait` must be 0 or more, but is {self.max_wait:g}")
        for name in ("timeout", "knee_p95_ms"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise LoadTestError(f"`{name}` must be more than 0, but is {value:g}")
        if self.thresholds.max_memory_growth is not None and self.pid is None:
            raise LoadTestError("`max_memory_growth` must be left out without `pid`")

    def _check_overload(self) -> None:
        values = {"rate": self.rate, "peak": self.highest_rate, "seconds": self.overload_seconds}
        for name, value in values.items():
            if not 0.0 < value < math.inf:
                raise LoadTestError(f"`{name}` must be more than 0, but is {value:g}")
        if not 1.0 <= self.factor < math.inf:
            raise LoadTestError(f"`factor` must be at least 1, but is {self.factor:g}")
        if self.highest_rate < self.rate:
            raise LoadTestError(f"`peak` must be at least `rate`, {self.rate:g}")
        if self.deadline is not None and not _SHORTEST_DEADLINE <= self.deadline < math.inf:
            raise LoadTestError(
                f"`deadline` must be at least {_SHORTEST_DEADLINE:g}, but is {self.deadline:g}"
            )
        if self.processes > 1 or self.workers:
            raise LoadTestError("`processes` and `workers` must be left out: overload has one")
        if self.thresholds.max_late is not None and self.deadline is None:
            raise LoadTestError("`max_late` must be left out without `deadline`")

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

    @property
    def corpus(self) -> Corpus:
        """The texts."""
        try:
            return Corpus.read(
                self.text or DEFAULT_SENTENCES, self.paragraphs or DEFAULT_PARAGRAPHS
            )
        except CorpusError as error:
            raise LoadTestError(str(error)) from error

    @property
    def pair(self) -> LanguagePair:
        """Which languages."""
        return LanguagePair(source=self.source, target=self.target)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # ValueError for what is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
