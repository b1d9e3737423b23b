"""Requests at planned times, from one process and one thread, at rates that are told on the way."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from httptools import HttpParserError

from loadtests.mix import Mix, Request
from loadtests.open_loop.options import LoadTestOptions
from loadtests.open_loop.overload.connection import Answer, Client
from loadtests.open_loop.overload.exchange import Exchange
from loadtests.open_loop.profiles import Profile, ProfileName, Segment, poisson_arrivals

__all__ = ["Generator"]

_VARIETY = 2000
"""Requests that are made ready beforehand, to be drawn from: making one takes as long as sending
it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ready:
    request: Request
    head: bytes
    tail: bytes


class Generator:
    """Offers load, and keeps what became of each request."""

    def __init__(self, options: LoadTestOptions, client: Client) -> None:
        """Draws the requests; the clock begins with the first `offer`."""
        self._client = client
        self._timeout = options.timeout
        self._max_wait = options.max_wait
        self._echoes_ids = not options.foreign
        self._rng = random.Random(options.seed)
        mix = Mix(options.mix, options.corpus, options.pair)
        self._ready = [self._encode(mix.draw(self._rng), options) for _ in range(_VARIETY)]
        self._places = asyncio.Semaphore(options.places)
        self._tasks: set[asyncio.Task[None]] = set()
        self._began: float | None = None
        self._planned_until = 0.0
        self._number = 0
        self.exchanges: list[Exchange] = []
        """Those that have come to an end, in that order."""
        self.under_way: dict[int, Exchange] = {}

    def _encode(self, request: Request, options: LoadTestOptions) -> _Ready:
        limit = () if options.deadline is None else (f"{options.deadline:.3f}",)
        head, tail = self._client.encode(
            request.path,
            json.dumps(request.body).encode(),
            *(f"X-Request-Timeout-Seconds: {seconds}" for seconds in limit),
        )
        return _Ready(request=request, head=head, tail=tail)

    @property
    def elapsed(self) -> float:
        """Seconds since the first `offer`; 0 before."""
        return 0.0 if self._began is None else time.perf_counter() - self._began

    async def offer(self, rate: float, seconds: float) -> tuple[float, float]:
        """So many requests a second, on average; begins where the call before has ended.

        Returns:
            When it began and ended, in seconds since the first call.
        """
        if self._began is None:
            self._began = time.perf_counter()
        began = self._planned_until
        segment = Segment(seconds=seconds, first=rate, last=rate)
        phase = Profile(name=ProfileName.OVERLOAD, segments=(segment,), step_seconds=None)
        for arrival in poisson_arrivals(phase, 1.0, self._rng):
            # Also when it is late: answers must be heard.
            await asyncio.sleep(max(0.0, began + arrival - self.elapsed))
            task = asyncio.create_task(self._attempt(began + arrival))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._planned_until = began + seconds
        await asyncio.sleep(max(0.0, self._planned_until - self.elapsed))
        return began, self._planned_until

    async def finish(self) -> None:
        """Waits for every answer that may still come."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> Sequence[Exchange]:
        """Waits for nothing more.

        Returns:
            The requests that are still under way.
        """
        left = list(self.under_way.values())
        for task in self._tasks:
            task.cancel()
        return left

    async def _attempt(self, planned: float) -> None:
        ready = self._rng.choice(self._ready)
        kind = ready.request.kind
        if self._places.locked():
            try:
                async with asyncio.timeout(max(0.0, planned + self._max_wait - self.elapsed)):
                    await self._places.acquire()
            except TimeoutError:
                self.exchanges.append(Exchange(kind=kind, planned=planned))
                return
        else:
            await self._places.acquire()
        self._number += 1
        number, sent = self._number, self.elapsed
        self.under_way[number] = Exchange(kind=kind, planned=planned, sent=sent)
        try:
            answer, fault = await self._ask(ready, b"%032x" % number)
        finally:
            self._places.release()
            del self.under_way[number]
        self.exchanges.append(
            Exchange(
                kind=kind,
                planned=planned,
                sent=sent,
                ended=self.elapsed,
                status=answer.status if answer else 0,
                fault=fault,
                has_retry_after=answer is not None and answer.has_retry_after,
            )
        )

    async def _ask(self, ready: _Ready, request_id: bytes) -> tuple[Answer | None, str | None]:
        """The answer, None if none came, and what is wrong with it."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.send(ready.head + request_id + ready.tail)
        except (OSError, HttpParserError) as error:
            return None, f"no answer: {type(error).__name__}"
        return answer, self._fault(answer, ready.request, request_id)

    def _fault(self, answer: Answer, request: Request, request_id: bytes) -> str | None:
        if answer.status != HTTPStatus.OK:
            shed = ", with Retry-After" if answer.has_retry_after else ""
            return f"the status must be 200, but is {answer.status}{shed}"
        if self._echoes_ids and answer.request_id != request_id:
            return "`X-Request-Id` must be echoed"
        try:
            content = json.loads(answer.content)
        except ValueError:
            return "the answer must be JSON"
        return request.fault_of(content)
