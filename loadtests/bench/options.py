"""What is to be measured, checked when it is said."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TypeVar

from loadtests.bench.contender import BenchError, Peer, Regime, Search
from loadtests.bench.instruction_sets import environment, forced_set
from loadtests.bench.models import RANDOM_MODELS
from loadtests.bench.workload import TextFile
from model.config import EngineConfig
from model.engine.backends import chosen_dtype
from model.engine.cpus import granted_cpus
from model.engine.native.build import InstructionSet

__all__ = ["BenchOptions", "Pair", "chosen"]

_Choice = TypeVar("_Choice", bound=StrEnum)

DTYPES = ("auto", "int8", "float32", "bfloat16")
_RANDOM_SENTENCES = 512
_TRAINED_SENTENCES = 2048


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Who is compared: ours, and a peer in the same type or the nearest one that it has."""

    ours: str
    """Our type."""
    peer: Peer
    theirs: str
    """The peer's type."""

    @property
    def name(self) -> str:
        """How ratios name it."""
        same = self.ours == self.theirs
        return self.their_label if same else f"{self.ours}-over-{self.their_label}"

    @property
    def our_label(self) -> str:
        """Our contender's label."""
        return f"polyhead-{self.ours}"

    @property
    def their_label(self) -> str:
        """The peer's label."""
        return f"{self.peer}-{self.theirs}"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What one run measures.

    Raises:
        BenchError: a value breaks a rule, or a peer is not installed.
    """

    model: str = "embedded"
    """"embedded", one of `RANDOM_MODELS`, or a model directory."""
    regimes: tuple[Regime, ...] = (Regime.THROUGHPUT,)
    searches: tuple[Search, ...] = (Search.GREEDY, Search.BEAM4)
    limit_repeats: bool = False
    """Whether they have the embedded models' repetition guard, which no peer has."""
    peers: tuple[Peer, ...] = ()
    dtypes: tuple[str, ...] = ("auto",)
    """Ours; of `DTYPES`."""
    peer_dtype: str | None = None
    """The peers', in their words; None takes what is nearest to ours."""
    device: str = "cpu"
    threads: int | None = None
    """CPUs of a contender; None takes all that this process may use."""
    rounds: int = 3
    """How often each contender has its turn."""
    minutes: float | None = None
    """Time for everything, by which the other numbers may become smaller; None: no bound."""
    sentences: int | None = None
    """Most that are drawn. None: all of a file with references; else 2,048 for trained and 512 for
    random weights."""
    latency_sentences: int = 50
    """How many of them are translated one by one."""
    seconds: float = 20.0
    """Length of each online round."""
    instruction_set: str | None = None
    """What everybody computes with; None: POLYHEAD_INSTRUCTION_SET, or what each thinks best."""
    text: TextFile = field(default_factory=TextFile)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise BenchError(f"`seconds` must be positive, but is {self.seconds}")
        if self.minutes is not None and not self.minutes > 0:
            raise BenchError(f"`minutes` must be positive, but is {self.minutes}")
        environment(self.forced_set)
        if self.device not in ("cpu", "cuda"):
            raise BenchError(f"`device` must be cpu or cuda, but is {self.device!r}")
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise BenchError(f"`dtype` must be one of {', '.join(DTYPES)}, but is {dtype!r}")
        if self.threads is not None and self.threads > len(_usable_cores()):
            raise BenchError(
                f"`threads` must be at most {len(_usable_cores())}, the CPUs that this process may "
                f"use, but is {self.threads}"
            )
        for peer in self.peers:
            if find_spec(peer.replace("-", "_")) is None:
                package = f"{peer}" if peer.takes_text else "'polyhead[bench]'"
                raise BenchError(f"`peer` {peer} is not installed: pip install {package} brings it")
        if self.limit_repeats and self.peers:
            raise BenchError("`limit_repeats` must be false beside peers, which do not have it")
        if self.texts:
            self._check_texts()
        if self.text.references and self.model in RANDOM_MODELS:
            raise BenchError(f"the random weights of {self.model} cannot be held to references")

    @property
    def texts(self) -> bool:
        """Whether contenders go from text to text, as a peer takes no token ids."""
        return any(peer.takes_text for peer in self.peers)

    @property
    def cores(self) -> tuple[int, ...]:
        """The CPUs of whoever has its turn."""
        return _usable_cores()[: self.threads]

    @property
    def forced_set(self) -> InstructionSet | None:
        """The instruction set that everybody is held to, if they are."""
        return forced_set(self.instruction_set)

    @property
    def our_dtypes(self) -> tuple[str, ...]:
        """Ours, "auto" resolved: int8 on the CPU, bfloat16 on CUDA."""
        engines = [EngineConfig(device=self.device, dtype=dtype) for dtype in self.dtypes]
        return tuple(dict.fromkeys(map(chosen_dtype, engines)))

    def pairs(self) -> list[Pair]:
        """Who is compared with whom."""
        return [
            Pair(ours=dtype, peer=peer, theirs=self._nearest_dtype(peer, dtype))
            for dtype in self.our_dtypes
            for peer in self.peers
        ]

    def count(self) -> int | None:
        """How many sentences are drawn; None means every line once."""
        if self.sentences is not None:
            return self.sentences
        if self.text.references:
            return None
        return _RANDOM_SENTENCES if self.model in RANDOM_MODELS else _TRAINED_SENTENCES

    def _check_texts(self) -> None:
        """Those who take texts take one at a time, on CPUs, and search greedily."""
        of_texts = {
            "peer": (self.peers, tuple(peer for peer in Peer if peer.takes_text)),
            "regime": (self.regimes, (Regime.LATENCY, Regime.THROUGHPUT)),
            "search": (self.searches, (Search.GREEDY,)),
            "device": ((self.device,), ("cpu",)),
            "instruction_set": ((self.forced_set,), (None,)),
        }
        for name, (given, possible) in of_texts.items():
            if not set(given) <= set(possible):
                raise BenchError(
                    f"`{name}` must be of {', '.join(map(str, possible))} beside peers that take "
                    f"texts, but is {', '.join(map(str, given))}"
                )

    def _nearest_dtype(self, peer: Peer, dtype: str) -> str:
        if peer.takes_text:
            return "int8" if peer is Peer.FXTRANSLATE else "float32"
        if self.peer_dtype is not None:
            return self.peer_dtype
        return "float32" if self.device == "cpu" and dtype == "bfloat16" else dtype


def chosen(
    name: str, word: str, kind: type[_Choice], *, everything: str | None = None
) -> tuple[_Choice, ...]:
    """The member called `word`; all of them for the word `everything`.

    Raises:
        BenchError: there is none of that name.
    """
    if word == everything:
        return tuple(kind)
    try:
        return (kind(word),)
    except ValueError:
        allowed = ", ".join([*kind, everything] if everything else kind)
        raise BenchError(f"`{name}` must be one of {allowed}, but is {word!r}") from None


def _usable_cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))[: granted_cpus()])
