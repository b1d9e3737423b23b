"""Profiles whose rates are known: offered from beginning to end, or until the knee is found."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from tqdm import tqdm

from loadtests.open_loop.client import Client
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.profiles import Profile
from loadtests.open_loop.session import Ending, stoppable
from loadtests.open_loop.steps import is_saturated, num_settled

__all__ = ["offer_profile"]

_LOOK_SECONDS = 1.0
_LATELY = 5


def offer_profile(options: LoadTestOptions) -> tuple[Exchanges, float, Ending]:
    """Offers the load of a profile until it is over, Ctrl-C, or the knee; progress is on stderr.

    Returns:
        The requests, the seconds from the first one to the end, and why it ended.
    """
    return uvloop.run(_run(options))


async def _run(options: LoadTestOptions) -> tuple[Exchanges, float, Ending]:
    profile, parts = options.profile, [Exchanges()]
    judged, saturated = 0, False
    async with Client(options.url) as client:
        generator = options.generator(client)
        work = asyncio.create_task(_offer(generator, profile))
        stoppable(work)
        total = round(profile.seconds)
        with tqdm(total=total, unit="s", desc=profile.name, file=sys.stderr) as bar:
            while not work.done():
                await asyncio.wait([work], timeout=_LOOK_SECONDS)
                parts.append(generator.take())
                bar.n = min(round(generator.elapsed), total)
                bar.set_postfix_str(_lately(parts, generator.elapsed))
                if not saturated and (settled := num_settled(profile, generator.elapsed)) > judged:
                    judged = settled  # all requests are looked at, which takes its time
                    seen = Exchanges.joined([*parts, generator.under_way])
                    limit, now = options.knee_p95_ms, generator.elapsed
                    saturated = is_saturated(seen, profile, limit, elapsed=now)
                    if saturated:
                        work.cancel()
        exchanges = Exchanges.joined([*parts, generator.under_way])
        if not work.cancelled():
            work.result()
            return exchanges, generator.elapsed, Ending.COMPLETE
        ending = Ending.SATURATED if saturated else Ending.INTERRUPTED
        return exchanges, generator.elapsed, ending


async def _offer(generator: Generator, profile: Profile) -> None:
    for segment in profile.segments:
        await generator.offer(segment)
    await generator.finish()


def _lately(parts: list[Exchanges], elapsed: float) -> str:
    """How it went in the last seconds, in a few words."""
    last = Exchanges.joined(parts[-_LATELY:]).figures()
    p95 = "" if last["p95_ms"] is None else f", p95 {last['p95_ms']:.0f} ms"
    lost = last["failed"] + last["not_sent"]
    rate = last["requests"] / max(1.0, min(_LATELY * _LOOK_SECONDS, elapsed))
    return f"{rate:.1f} requests/s ended{p95}, {lost} of them failed"
