"""Profiles whose rates are known: offered from beginning to end, or until the knee is found."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import sys
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

import uvloop
from tqdm import tqdm

from loadtests.open_loop.client import Client
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.steps import is_saturated, num_settled

__all__ = ["Ending", "offer_profile", "until_stopped"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 1.0
_LATELY_SECONDS = 5


class Ending(StrEnum):
    """Why there was no more load."""

    COMPLETE = "complete"
    SATURATED = "saturated"
    """The knee was found, and higher steps were left out."""
    INTERRUPTED = "interrupted"


async def until_stopped(work: Coroutine[Any, Any, Ending]) -> Ending:
    """Does the work of a load test until it is over or a signal ends it.

    Python's collector of garbage is told to look less often through the many requests that are
    kept: it would hold up those that are due.
    """
    task = asyncio.ensure_future(work)
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    gc.freeze()
    gc.set_threshold(100_000)
    try:
        return await task
    except asyncio.CancelledError:
        return Ending.INTERRUPTED


def offer_profile(options: LoadTestOptions) -> tuple[Exchanges, float, Ending]:
    """Offers the load of a profile until it is over, Ctrl-C, or the knee; progress is on stderr.

    Returns:
        The requests, the seconds from the first one to the end, and why it ended.
    """

    async def run() -> tuple[Exchanges, float, Ending]:
        async with Client(options.url) as client:
            generator = options.generator(client)
            ending = await until_stopped(_offer(generator, options))
            return generator.exchanges, generator.elapsed, ending

    return uvloop.run(run())


async def _offer(generator: Generator, options: LoadTestOptions) -> Ending:
    profile, judged = options.profile, 0
    with tqdm(total=round(profile.seconds), unit="s", desc=profile.name, file=sys.stderr) as bar:
        for piece in profile.pieces(_LOOK_SECONDS):
            await generator.offer(piece)
            bar.set_postfix_str(_lately(generator), refresh=False)
            bar.update(round(generator.elapsed) - bar.n)
            if (settled := num_settled(profile, generator.elapsed)) > judged:
                judged = settled
                limit, now = options.knee_p95_ms, generator.elapsed
                if is_saturated(generator.exchanges, profile, limit, elapsed=now):
                    return Ending.SATURATED
        await generator.finish()
    return Ending.COMPLETE


def _lately(generator: Generator) -> str:
    """How the requests of the last seconds went, in a few words."""
    last = generator.exchanges.planned_between(generator.elapsed - _LATELY_SECONDS, math.inf)
    figures = last.figures()
    p95 = "" if figures["p95_ms"] is None else f", p95 {figures['p95_ms']:.0f} ms"
    return f"{figures['right']} right{p95}, {figures['failed'] + figures['not_sent']} failed"
