"""Profiles whose rates are known: load generators in processes of their own, and who follows them.

Each generator draws arrivals at its share of the rates; together they are one Poisson process. What
they have seen comes over a pipe every second, so that nothing but sending is done where requests
are sent.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from types import FrameType

import uvloop
from tqdm import tqdm

from loadtests.open_loop.client import Client
from loadtests.open_loop.errors import LoadTestError
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.steps import is_saturated

__all__ = ["STOP_SIGNALS", "Ending", "generate_load", "spare_the_collector"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REPORT_SECONDS = 1.0
_START_SECONDS = 60.0
_LATELY = 5


class Ending(StrEnum):
    """Why there was no more load."""

    COMPLETE = "complete"
    SATURATED = "saturated"
    """The knee was found, and higher steps were left out."""
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class _News:
    """What a generator says from time to time."""

    ended: Exchanges
    """Since it said something before."""
    under_way: Exchanges
    elapsed: float


@dataclass(kw_only=True)
class _Seen:
    """What all generators have said."""

    ended: list[Exchanges] = field(default_factory=list)
    under_way: dict[Connection, Exchanges] = field(default_factory=dict)
    elapsed: float = 0.0

    def add(self, pipe: Connection, news: _News) -> None:
        self.ended.append(news.ended)
        self.under_way[pipe] = news.under_way
        self.elapsed = max(self.elapsed, news.elapsed)

    @property
    def exchanges(self) -> Exchanges:
        """All of it; one table of what has ended is kept, so that little is copied twice."""
        self.ended = [Exchanges.joined(self.ended)]
        return Exchanges.joined([*self.ended, *self.under_way.values()])


def generate_load(options: LoadTestOptions) -> tuple[Exchanges, float, Ending]:
    """Offers the load of a profile until it is over, Ctrl-C, or the knee; progress is on stderr.

    Returns:
        The requests, the seconds from the first one to the end, and why it ended.

    Raises:
        LoadTestError: a load generator failed, or was ended before it had begun.
    """
    with _generators(options) as (processes, pipes), _stopped_by_signals(processes) as interrupted:
        seen, saturated = _follow(options, processes, pipes)
        for process in processes:
            process.join()
        failed = any(process.exitcode for process in processes)
    if failed and not interrupted and not saturated:
        raise LoadTestError("a load generator failed")
    if not seen.elapsed:
        raise LoadTestError("ended before anything was sent")
    ending = Ending.SATURATED if saturated else Ending.COMPLETE
    return seen.exchanges, seen.elapsed, Ending.INTERRUPTED if interrupted else ending


@contextmanager
def _generators(
    options: LoadTestOptions,
) -> Iterator[tuple[list[BaseProcess], list[Connection]]]:
    """As many processes as `options` say, each with a pipe to read from; none outlives the with."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(options.processes)
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    # A terminal's Ctrl-C reaches all its processes: these hear of it from here alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS[::2])
    try:
        for number in range(options.processes):
            reader, writer = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_generate, args=(options, number, start, writer), daemon=True
            )
            process.start()
            writer.close()
            processes.append(process)
            pipes.append(reader)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield processes, pipes
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for process in processes:
            process.kill()
            process.join()


@contextmanager
def _stopped_by_signals(processes: Sequence[BaseProcess]) -> Iterator[list[int]]:
    """While it lasts, a signal asks the generators to end, and a second one ends them at once; the
    signals that came are in the list.
    """
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        for process in processes:
            process.terminate() if len(received) == 1 else process.kill()

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(
    options: LoadTestOptions, processes: Sequence[BaseProcess], pipes: Sequence[Connection]
) -> tuple[_Seen, bool]:
    """All that the generators say until they end, and whether that was for saturation."""
    seen, saturated = _Seen(), False
    profile = options.profile
    total = round(profile.seconds)
    open_pipes = set(pipes)
    with tqdm(total=total, unit="s", desc=profile.name, file=sys.stderr) as bar:
        while open_pipes:
            for pipe in wait(open_pipes):
                assert isinstance(pipe, Connection)
                try:
                    seen.add(pipe, pipe.recv())
                except (EOFError, OSError):  # it has ended, or was killed while it said something
                    open_pipes.discard(pipe)
            exchanges = seen.exchanges
            bar.n = min(round(seen.elapsed), total)
            bar.set_postfix_str(_lately(exchanges, min(seen.elapsed, total)))
            if not saturated and is_saturated(
                exchanges, profile, options.knee_seconds, elapsed=seen.elapsed
            ):
                saturated = True
                for process in processes:
                    process.terminate()
    return seen, saturated


def _lately(exchanges: Exchanges, elapsed: float) -> str:
    """How it went in the last seconds, in a few words."""
    last = exchanges.planned_between(elapsed - _LATELY, elapsed)
    p95 = last.latency(0.95)
    shown = "" if p95 is None else f", p95 {1e3 * p95:.0f} ms"
    failed = int((exchanges.failed | exchanges.unsent).sum())
    seconds = max(1.0, min(_LATELY, elapsed))
    return f"{len(last) / seconds:.1f} requests/s{shown}, {failed} failed"


def spare_the_collector() -> None:
    """Makes Python's collector of garbage look through the many requests that are kept less often:
    it would hold up those that are due.
    """
    gc.freeze()
    gc.set_threshold(100_000)


def _generate(options: LoadTestOptions, number: int, start: Barrier, pipe: Connection) -> None:
    """A load generator, in its own process."""
    uvloop.run(_offer_all(options, number, start, pipe))


async def _offer_all(
    options: LoadTestOptions, number: int, start: Barrier, pipe: Connection
) -> None:
    async with Client(options.url) as client:
        generator = options.generator(client, number)
        spare_the_collector()
        start.wait(_START_SECONDS)
        work = asyncio.create_task(_offer(generator, options))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        while not work.done():
            await asyncio.wait([work], timeout=_REPORT_SECONDS)
            news = _News(
                ended=generator.take(), under_way=generator.under_way, elapsed=generator.elapsed
            )
            try:
                pipe.send(news)
            except OSError:  # nobody reads any more
                work.cancel()
        if not work.cancelled():
            work.result()


async def _offer(generator: Generator, options: LoadTestOptions) -> None:
    for segment in options.profile.segments:
        await generator.offer(segment, share=1 / options.processes)
    await generator.finish()
