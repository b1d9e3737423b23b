"""What is to be tested, checked when it is said."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.corpus import DEFAULT_PARAGRAPHS, DEFAULT_SENTENCES, Corpus, CorpusError
from loadtests.mix import MIXES, LanguagePair, Mix
from loadtests.open_loop.client import Client
from loadtests.open_loop.errors import LoadTestError, require
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.profiles import Profile, ProfileName, profile_kind, profile_named
from loadtests.open_loop.thresholds import Thresholds

__all__ = ["LoadTestOptions"]

_PLACES = 256
_PLACES_OVERLOADED = 1024
"""Enough for all that a service keeps, and for the refusals on their way."""
_OVERLOAD_SECONDS = 60
_HIGHEST_OVER_FIRST = 500.0
_VARIETY = 2000
"""Requests that are drawn from a mix beforehand, to be drawn from in turn."""


@dataclass(frozen=True, kw_only=True)
class LoadTestOptions:
    """The options of one test.

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
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
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
        _ = self.requests
        require("in_flight", self.in_flight, least=1)
        require("max_wait", self.max_wait, least=0)
        require("timeout", self.timeout, above=0)
        require("knee_p95_ms", self.knee_p95_ms, above=0)
        if self.thresholds.max_memory_growth is not None and self.pid is None:
            raise LoadTestError("`max_memory_growth` must be left out without `pid`")

    def _check_overload(self) -> None:
        require("rate", self.rate, above=0)
        require("peak", self.highest_rate, least=self.rate)
        require("seconds", self.overload_seconds, above=0)
        require("factor", self.factor, least=1)
        require("deadline", self.deadline, least=0.001)
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

    @cached_property
    def requests(self) -> Mix:
        """The requests to draw from."""
        try:
            corpus = Corpus.read(
                self.text or DEFAULT_SENTENCES, self.paragraphs or DEFAULT_PARAGRAPHS
            )
        except CorpusError as error:
            raise LoadTestError(str(error)) from error
        return Mix(self.mix, corpus, LanguagePair(source=self.source, target=self.target))

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
