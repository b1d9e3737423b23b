"""A steady open load, each answer compared with what a healthy service said to the same request."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Self

from loadtests.corpus import Corpus
from loadtests.mix import Mix, Request, ask
from loadtests.open_loop.client import Answer, Client
from loadtests.open_loop.exchanges import Exchanges, Mask
from loadtests.open_loop.generator import Generator, fault_of
from loadtests.open_loop.profiles import constant

__all__ = ["SteadyLoad", "Tally", "ask_once", "refused_at_once", "tally_of"]

_TIMEOUT_SECONDS = 120.0
_PLACES = 100_000
"""As good as no limit."""
_VARIETY = 40
_STRETCH_SECONDS = 0.25
_SHOWN = 160
_MOST_FAULTS = 5
_REFUSED = f"no answer: {ConnectionRefusedError.__name__}"


Tally = dict[str, Any]
"""What is told of some requests, as the line of JSON has it."""


def tally_of(exchanges: Exchanges) -> Tally:
    """Counts requests that have come to an end.

    `worst_seconds` is the longest latency of the right answers, from the planned time, 0 if there
    are none; `faults` are different ones, at most five.
    """
    return {
        "sent": len(exchanges),
        "failed": int(exchanges.failed.sum()),
        "worst_seconds": float(max(exchanges.latencies, default=0.0)),
        "faults": list(exchanges.faults)[:_MOST_FAULTS],
    }


def refused_at_once(exchanges: Exchanges, moment: float) -> Mask:
    """Those that were sent later, and told at once that nothing will be done."""
    unavailable: Mask = exchanges.rows["status"] == HTTPStatus.SERVICE_UNAVAILABLE
    no_connection: Mask = exchanges.rows["fault"] == _REFUSED
    later: Mask = exchanges.planned > moment
    return (unavailable | no_connection) & later


def ask_once(url: str, *, seed: int, mix: Mix | None = None) -> list[Request]:
    """Requests that take no other translation than a healthy service gives, asked one by one.

    They are drawn from `mix`; None takes the realistic one.

    Raises:
        LoadTestError: a first answer is wrong already, or there is none.
    """
    rng, mix = random.Random(seed), mix or Mix("realistic", Corpus.read())
    requests = [mix.draw(rng) for _ in range(_VARIETY)]
    answers = ask(url, requests, timeout=_TIMEOUT_SECONDS)
    return [
        replace(request, fault_of=partial(_fault_of, request, _texts(answer)))
        for request, answer in zip(requests, answers, strict=True)
    ]


def _fault_of(request: Request, translations: object, answer: Any) -> str | None:
    fault = request.fault_of(answer)
    if fault is None and _texts(answer) != translations:
        return "the translation must be the one that was given before the fault"
    return fault


def _texts(answer: Any) -> object:
    """The translations in an answer of either API."""
    if "translatedText" in answer:
        return answer["translatedText"]
    return [one["text"] for one in answer["translations"]]


class SteadyLoad:
    """Requests at random times, in a thread, from `with` on until its end and the last answer."""

    def __init__(
        self,
        url: str,
        requests: Sequence[Request],
        *,
        rate: float,
        seed: int,
        headers: Sequence[str] = (),
    ) -> None:
        """`rate`: requests a second; `headers`: further lines of each request."""
        self._client = Client(url)
        self._generator = Generator(
            self._client,
            requests,
            rng=random.Random(seed),
            places=_PLACES,
            max_wait=0.0,
            timeout=_TIMEOUT_SECONDS,
            judge=_judge,
            echoes_ids=False,
            headers=headers,
        )
        self._rate = rate
        self._ended = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._load: Future[None] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._generator.elapsed

    @property
    def exchanges(self) -> Exchanges:
        """Those that have come to an end."""
        return self._generator.ended

    def __enter__(self) -> Self:
        self._load = self._thread.submit(asyncio.run, self._run())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.shutdown()
        if kind is None and self._load is not None:
            self._load.result()  # a load that ended early has found nothing

    async def _run(self) -> None:
        async with self._client:
            while not self._ended.is_set():
                await self._generator.offer(constant(self._rate, _STRETCH_SECONDS))
            await self._generator.finish()


def _judge(request: Request, answer: Answer) -> str | None:
    if answer.status != HTTPStatus.OK:
        return f"status {answer.status}: {answer.content.decode(errors='replace')[:_SHOWN]}"
    return fault_of(request, answer)
