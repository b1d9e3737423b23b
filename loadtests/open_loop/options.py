"""What is to be tested, checked when it is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, CorpusError
from loadtests.mix import MIXES, LanguagePair
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.profiles import Profile, profile_named

__all__ = ["LoadTestOptions", "Thresholds"]


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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0.0 <= value < math.inf:
                raise LoadTestError(f"`{field.name}` must be 0 or more, but is {value:g}")
        if self.max_failures is not None and self.max_failures > 1.0:
            raise LoadTestError(
                f"`max_failures` must be a share from 0 to 1, but is {self.max_failures:g}"
            )


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
    in_flight: int = 256
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
        _ = self.profile, self.corpus
        if not _is_address(self.url):
            raise LoadTestError(f"`url` must be like http://HOST:PORT, but is {self.url!r}")
        if self.mix not in MIXES:
            raise LoadTestError(f"`mix` must be one of {', '.join(MIXES)}, but is {self.mix!r}")
        for name, least in (("in_flight", 1), ("processes", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise LoadTestError(
                    f"`{name}` must be at least {least}, but is {getattr(self, name)}"
                )
        if self.processes > 1 and self.workers:
            raise LoadTestError("`processes` and `workers` must not be given together")
        if not 0.0 <= self.max_wait < math.inf:
            raise LoadTestError(f"`max_wait` must be 0 or more, but is {self.max_wait:g}")
        for name in ("timeout", "knee_p95_ms"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise LoadTestError(f"`{name}` must be more than 0, but is {value:g}")
        if self.thresholds.min_knee is not None and not self.profile.steps:
            raise LoadTestError(f"`min_knee` must be left out: {self.profile.name} has no knee")

    @property
    def profile(self) -> Profile:
        """Rates and times."""
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
