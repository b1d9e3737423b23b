"""A contender's process, and the parent's end of the pipe to it.

A worker waits in the pipe while others have their turn, and so uses no CPU. What it prints goes to
stderr: stdout is for results.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from loadtests.bench.contender import (
    BenchError,
    Contender,
    ContenderSpec,
    Peer,
    Setup,
    Task,
    TokenIds,
    Translated,
)
from loadtests.bench.machine import Memory
from loadtests.bench.models import BenchModel, digest

__all__ = ["Field", "Worker", "convert_for_ctranslate2"]

_LONGEST_ANSWER = 3600.0
"""Seconds of one call, beyond which a worker is given up."""
_GOODBYE = 10.0
SETTLE_SECONDS = 0.3
"""Waited for after each turn: OpenMP's threads may spin for as long (Intel's: 0.2)."""


class Worker:
    """A contender's process. Every call blocks until it has answered.

    Raises:
        BenchError: the contender could not start, or failed in a call.
    """

    def __init__(self, spec: ContenderSpec) -> None:
        self.spec = spec
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, spec), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None  # it was started
        return self._process.pid

    def wait_until_ready(self) -> str:
        """The digest of its weights. To be called once."""
        return self._answer()  # type: ignore[no-any-return]

    def prepare(
        self, task: Task, sample: Sequence[TokenIds], arrivals: Sequence[float] = ()
    ) -> Setup:
        """See `Contender`."""
        return self._ask("prepare", task, sample, arrivals)  # type: ignore[no-any-return]

    def translate(self, task: Task, sources: Sequence[TokenIds]) -> Translated:
        """See `Contender.timed`."""
        return self._ask("timed", task, sources)  # type: ignore[no-any-return]

    def serve(
        self, task: Task, sources: Sequence[TokenIds], arrivals: Sequence[float]
    ) -> list[float]:
        """See `Contender`."""
        return self._ask("serve", task, sources, arrivals)  # type: ignore[no-any-return]

    def memory(self) -> Memory:
        """What the process holds now."""
        return self._ask("memory")  # type: ignore[no-any-return]

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, all threads; asks the system, not the process."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError as error:
            raise BenchError(f"{self.spec.label} has ended before its time: {error}") from error
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self, *, at_once: bool = False) -> None:
        """Ends the process, by force if it must be, or if nobody wants its answer any more."""
        if not at_once:
            with suppress(OSError):
                self._pipe.send(None)
            self._process.join(_GOODBYE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _ask(self, name: str, *arguments: object) -> Any:
        try:
            self._pipe.send((name, arguments))
        except OSError as error:
            raise BenchError(f"{self.spec.label} has ended before its time: {error}") from error
        answer = self._answer()
        time.sleep(SETTLE_SECONDS)
        return answer

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(_LONGEST_ANSWER):
                raise BenchError(f"{self.spec.label} has not answered for {_LONGEST_ANSWER:.0f} s")
            answered, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(_GOODBYE)
            raise BenchError(
                f"{self.spec.label} has ended before its time, with {self._process.exitcode}"
            ) from None
        if not answered:
            raise BenchError(f"{self.spec.label}: {value}")
        return value


def convert_for_ctranslate2(spec: ContenderSpec, directory: Path) -> ContenderSpec:
    """Writes CTranslate2's form of the weights, in a process that is gone afterwards.

    Args:
        directory: is made.

    Returns:
        `spec`, for who reads them there.
    """
    directory.mkdir()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        converted_digest = pool.submit(_convert, spec.model, directory, spec.dtype).result()
    return replace(spec, converted=directory, weights_digest=converted_digest)


def _convert(model: BenchModel, directory: Path, dtype: str) -> str:
    from loadtests.bench.ctranslate2_model import write_ctranslate2_model

    weights = model.load()
    write_ctranslate2_model(weights, directory, dtype)
    return digest(weights)


def _serve(pipe: Connection, spec: ContenderSpec) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's business
    os.dup2(2, 1)
    os.sched_setaffinity(0, spec.cores)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(len(spec.cores))
    os.environ.update(spec.environment)
    try:
        contender, weights_digest = _become(spec)
        pipe.send((True, weights_digest))
        while message := pipe.recv():
            name, arguments = message
            pipe.send((True, getattr(contender, name)(*arguments)))
        contender.close()
    except EOFError:
        return  # the parent has gone
    except Exception as error:
        pipe.send((False, f"{type(error).__name__}: {error}"))


def _become(spec: ContenderSpec) -> tuple[Contender, str]:
    if spec.texts is not None:
        return _text_contender(spec), spec.weights_digest or ""
    if spec.name == Peer.CTRANSLATE2:
        # It would import torch for its converters, and so hold memory that it can do without.
        sys.modules["torch"] = None  # type: ignore[assignment]
        from loadtests.bench.ctranslate2_contender import CTranslate2Contender

        return CTranslate2Contender(spec), spec.weights_digest or ""
    weights = spec.model.load()
    weights_digest = digest(weights)
    from loadtests.bench.polyhead_contender import PolyheadContender

    ours = PolyheadContender(spec, weights)
    _freeze()
    if spec.device == "cuda":
        # To look for cycles among tens of thousands of queued sequences takes twice as long as the
        # engine's own work on them; a service has shorter queues.
        gc.disable()
    return ours, weights_digest


def _text_contender(spec: ContenderSpec) -> Contender:
    from loadtests.bench.text_contenders import PolyheadTexts, TextPeer

    if spec.name in list(Peer):
        return TextPeer(spec)
    ours = PolyheadTexts(spec)
    _freeze()
    return ours


def _freeze() -> None:
    """Spares the collector what lives as long as the process, as a replica does."""
    gc.collect()
    gc.freeze()


class Field(AbstractContextManager["Field"]):
    """The workers of a benchmark, from start to end.

    Args:
        workers: belong to the field from the moment they are started.

    Raises:
        BenchError: one could not start, or two do not have the same weights.
    """

    def __init__(self, workers: Iterable[Worker]) -> None:
        self.workers: list[Worker] = []
        self._idle_seconds: defaultdict[str, float] = defaultdict(float)
        self._idle_cpu_seconds: defaultdict[str, float] = defaultdict(float)
        try:
            for worker in workers:
                self.workers.append(worker)
            self.weights_digest, *others = {worker.wait_until_ready() for worker in self.workers}
            if others:
                raise BenchError("all contenders must have the same weights, but have not")
        except BaseException:
            self.close(at_once=True)
            raise

    @contextmanager
    def turn(self, worker: Worker) -> Iterator[None]:
        """Watches that the others rest."""
        others = [other for other in self.workers if other is not worker]
        before = [other.cpu_seconds() for other in others]
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        for other, cpu_before in zip(others, before, strict=True):
            self._idle_seconds[other.spec.label] += elapsed
            self._idle_cpu_seconds[other.spec.label] += other.cpu_seconds() - cpu_before

    def idle_cpu(self) -> dict[str, float]:
        """CPUs that each contender kept busy while others had their turn: should be 0."""
        return {
            label: self._idle_cpu_seconds[label] / seconds
            for label, seconds in self._idle_seconds.items()
        }

    def memory(self) -> dict[str, Memory]:
        """The memory of each contender's process, by label."""
        return {worker.spec.label: worker.memory() for worker in self.workers}

    def close(self, *, at_once: bool = False) -> None:
        """Ends all processes."""
        for worker in self.workers:
            worker.close(at_once=at_once)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(at_once=kind is not None)
