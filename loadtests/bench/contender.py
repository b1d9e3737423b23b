"""What a contender is: something that translates token ids, in a process of its own."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from loadtests.bench.machine import Memory, read_memory
from loadtests.bench.models import BenchModel

__all__ = [
    "BATCH_SIZE",
    "LENGTH_PENALTY",
    "Contender",
    "ContenderSpec",
    "Peer",
    "Regime",
    "Search",
    "Setup",
    "Task",
    "TokenIds",
    "Translated",
]

LENGTH_PENALTY = 0.6
BATCH_SIZE = 64
"""Sentences a peer's server takes at once, and what transformers translates at once."""

TokenIds = Sequence[int]
Setup = dict[str, int | float | str]
"""How a contender was set up: names are its own options."""


class Regime(StrEnum):
    """How work comes in."""

    LATENCY = "latency"
    """One sentence at a time."""
    THROUGHPUT = "throughput"
    """Everything at once."""
    ONLINE = "online"
    """Whenever a Poisson process says so."""


class Search(StrEnum):
    """How a translation is searched for."""

    GREEDY = "greedy"
    BEAM4 = "beam4"

    @property
    def beam_size(self) -> int:
        """Hypotheses kept per step."""
        return 1 if self is Search.GREEDY else 4


class Peer(StrEnum):
    """Whom we compare with; each is the name of its package, too."""

    CTRANSLATE2 = "ctranslate2"
    TRANSFORMERS = "transformers"


class Task(NamedTuple):
    """What a contender is set up for."""

    regime: Regime
    search: Search
    load: str | None = None
    """The load of the online regime: a share of someone's capacity."""


@dataclass(frozen=True, kw_only=True)
class ContenderSpec:
    """Everything a process needs to become a contender."""

    name: str
    """"polyhead" or a peer's."""
    dtype: str
    device: str
    """"cpu" or "cuda"."""
    cores: tuple[int, ...]
    """The CPUs it may use, all of them for one contender at a time."""
    model: BenchModel
    max_new_tokens: int
    converted: Path | None = None
    """Where the weights are in the contender's own format, if it needs one."""
    weights_digest: str | None = None
    """Of the weights that were converted, for who does not read ours."""

    @property
    def label(self) -> str:
        """What people and ratios call it."""
        return f"{self.name}-{self.dtype}"


@dataclass(frozen=True, kw_only=True)
class Translated:
    """What came of one turn."""

    seconds: tuple[float, ...]
    """Seconds of each call: one for all sources, or one for each."""
    targets: list[list[int]]
    """Without end tokens, in the order of the sources."""

    @property
    def num_tokens(self) -> int:
        """Tokens predicted: each target ends with one that is not in it."""
        return sum(len(target) + 1 for target in self.targets)


class Contender(ABC):
    """Translates token ids: sources have the end token, targets have not."""

    @abstractmethod
    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """Warms up; where there is a choice, tries `sample` and keeps what is fastest.

        Args:
            arrivals: (N,) those of the sample, for the online regime.

        Returns:
            The set-up that will be used.
        """

    @abstractmethod
    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """Best targets of all sources, in their order; works without having been prepared, too."""

    def timed(self, task: Task, sources: Sequence[TokenIds]) -> Translated:
        """Translates with a clock beside it: one by one for latency, else all in one call."""
        calls = [[source] for source in sources] if task.regime is Regime.LATENCY else [sources]
        seconds, targets = [], []
        for call in calls:
            started = time.perf_counter()
            found = self.translate(task, call)
            seconds.append(time.perf_counter() - started)
            targets += found
        return Translated(seconds=tuple(seconds), targets=targets)

    @abstractmethod
    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """Translates each source from its arrival on.

        Args:
            task: one that was prepared for.
            sources: (N,).
            arrivals: (N,) seconds from the start, ascending.

        Returns:
            (N,) seconds from each scheduled arrival until its target was there.
        """

    def memory(self) -> Memory:
        """What this process holds."""
        return read_memory()

    def close(self) -> None:  # noqa: B027
        """Ends its threads, if it has any."""
