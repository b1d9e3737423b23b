"""A steady open load: requests at random times, whatever became of those before, each answer
compared with what the service said before anything went wrong.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from loadtests.corpus import Corpus
from loadtests.mix import LanguagePair, Mix, Request

__all__ = ["Exchange", "Expected", "SteadyLoad", "Tally", "ask_once"]

_CLIENTS = 4
_TIMEOUT_SECONDS = 120.0
_VARIETY = 40
_SHOWN = 160
_REFUSALS = ("status 503", f"no answer: {httpx.ConnectError.__name__}")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A request and the right answer to it."""

    request: Request
    translations: object


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request, as its client saw it."""

    sent: float
    """time.monotonic() seconds."""
    seconds: float
    fault: str | None
    """What was wrong, None if nothing was."""

    @property
    def refused(self) -> bool:
        """Whether its client was told at once that nothing will be done."""
        return self.fault is not None and self.fault.startswith(_REFUSALS)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Of some exchanges."""

    sent: int
    failed: int
    worst_seconds: float
    """Of the right answers; 0 if there are none."""
    faults: tuple[str, ...]
    """Different ones, at most five."""

    @classmethod
    def of(cls, exchanges: Sequence[Exchange]) -> Self:
        """Counts them."""
        faults = [one.fault for one in exchanges if one.fault is not None]
        return cls(
            sent=len(exchanges),
            failed=len(faults),
            worst_seconds=max((one.seconds for one in exchanges if one.fault is None), default=0.0),
            faults=tuple(dict.fromkeys(faults))[:5],
        )


def ask_once(url: str, *, seed: int) -> list[Expected]:
    """Requests to send, with the answers that a healthy service gives, asked one by one.

    Raises:
        RuntimeError: a first answer is wrong already, or there is none.
    """
    rng = random.Random(seed)
    mix = Mix("realistic", Corpus.read(), LanguagePair())
    with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        expected = []
        for request in (mix.draw(rng) for _ in range(_VARIETY)):
            try:
                answer = client.post(request.path, json=request.body)
                fault = _fault(answer, request)
            except httpx.HTTPError as error:
                fault = _no_answer(error)
            if fault is not None:
                raise RuntimeError(f"{url} must answer rightly before a fault, but: {fault}")
            expected.append(Expected(request=request, translations=_texts(answer.json())))
        return expected


class SteadyLoad:
    """Clients with connections of their own, from `with` on until its end and the last answer."""

    def __init__(self, url: str, expected: Sequence[Expected], *, rate: float, seed: int) -> None:
        """`rate`: requests a second, of all clients together."""
        self._url = url
        self._expected = expected
        self._rate = rate
        self._seed = seed
        self._ended = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._clients: Future[None] | None = None
        self._broken: Exception | None = None
        self.exchanges: list[Exchange] = []
        """Those that have come to an end."""

    def __enter__(self) -> Self:
        self._clients = self._thread.submit(asyncio.run, self._run_all())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.shutdown()
        if kind is None and self._clients is not None:
            self._clients.result()  # a load that ended early has found nothing

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for number in range(_CLIENTS):
                clients.create_task(self._run(number))
        if self._broken is not None:
            raise self._broken

    async def _run(self, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(
                base_url=self._url, timeout=_TIMEOUT_SECONDS, trust_env=False, limits=limits
            ) as client,
            asyncio.TaskGroup() as exchanges,
        ):
            due = time.monotonic()
            while not self._ended.is_set():
                due += rng.expovariate(self._rate / _CLIENTS)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                exchanges.create_task(self._exchange(client, rng.choice(self._expected)))

    async def _exchange(self, client: httpx.AsyncClient, expected: Expected) -> None:
        sent = time.monotonic()
        try:
            answer = await client.post(expected.request.path, json=expected.request.body)
            fault = _fault(answer, expected.request)
            if fault is None and _texts(answer.json()) != expected.translations:
                fault = "the translation must be the one that was given before the fault"
        except httpx.HTTPError as error:
            fault = _no_answer(error)
        except Exception as error:  # ours: whoever waits for the load hears of it
            self._broken = error
            self._ended.set()
            return
        seconds = time.monotonic() - sent
        self.exchanges.append(Exchange(sent=sent, seconds=seconds, fault=fault))


def _fault(answer: httpx.Response, request: Request) -> str | None:
    if not answer.is_success:
        return f"status {answer.status_code}: {answer.text[:_SHOWN]}"
    try:
        content = answer.json()
    except ValueError:
        return "the answer must be JSON"
    return request.fault_of(content)


def _no_answer(error: httpx.HTTPError) -> str:
    return f"no answer: {type(error).__name__}"


def _texts(answer: Any) -> object:
    """The translations in an answer of either API."""
    if "translatedText" in answer:
        return answer["translatedText"]
    return [one["text"] for one in answer["translations"]]
