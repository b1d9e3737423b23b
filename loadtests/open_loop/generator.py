"""Requests at planned times, from one process and one thread: the generator of all loads."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import uvloop
from httptools import HttpParserError

from loadtests.mix import Request
from loadtests.open_loop.client import Answer, Client
from loadtests.open_loop.exchanges import Exchange, Exchanges
from loadtests.open_loop.profiles import Segment, poisson_arrivals

__all__ = ["Ending", "Generator", "Judge", "Load", "fault_of", "generate_load", "until_stopped"]

_NOBODY_SECONDS = 0.1
_TIMEOUT_SECONDS = 60.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Judge = Callable[[Request, Answer], str | None]
"""What is wrong with an answer; None if nothing is."""


def fault_of(request: Request, answer: Answer) -> str | None:
    """The usual judge: the status, and the form of the content."""
    retry = answer.has_retry_after
    return request.fault(answer.status, answer.content, has_retry_after=retry)


class Generator:
    """Offers load, and keeps what became of each request.

    A request starts when it is due, whatever became of those before. When all places in flight are
    taken it waits for one, and its latency grows; one that has waited too long is not sent.
    """

    def __init__(
        self,
        client: Client,
        requests: Sequence[Request],
        *,
        rng: random.Random,
        places: int,
        max_wait: float,
        timeout: float,
        judge: Judge = fault_of,
        echoes_ids: bool = True,
        headers: Sequence[str] = (),
    ) -> None:
        """Makes the requests ready; the clock begins with the first `offer`.

        Args:
            requests: to be drawn from: making one ready takes as long as sending it.
            places: most requests in flight.
            max_wait: seconds for which a request may wait for a place.
            timeout: seconds from the sending until an answer is waited for no more.
            echoes_ids: an answer without the X-Request-Id of its request is a fault.
            headers: further lines of each request.
        """
        self._client = client
        self._ready = [
            (one, *client.encode(one.path, json.dumps(one.body).encode(), *headers))
            for one in requests
        ]
        self._rng = rng
        self._places = asyncio.Semaphore(places)
        self._max_wait = max_wait
        self._timeout = timeout
        self._judge = judge
        self._echoes_ids = echoes_ids
        self._tasks: set[asyncio.Task[None]] = set()
        self._began: float | None = None
        self._planned_until = 0.0
        self._number = 0
        self._id_prefix = uuid.uuid4().hex[:16].encode()
        self._broken: Exception | None = None
        self._taken = Exchanges()
        self._ended: list[Exchange] = []
        """Those that have come to an end since."""
        self._under_way: dict[int, Exchange] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the first `offer`; 0 before."""
        return 0.0 if self._began is None else time.perf_counter() - self._began

    @property
    def exchanges(self) -> Exchanges:
        """All requests so far: those that have ended, in that order, then those under way."""
        self._taken, self._ended = self.ended, []
        return Exchanges.joined([self._taken, Exchanges(list(self._under_way.values()))])

    @property
    def ended(self) -> Exchanges:
        """Those that have come to an end; while load is offered, other threads may ask."""
        return Exchanges.joined([self._taken, Exchanges(self._ended)])

    async def offer(self, segment: Segment) -> None:
        """Starts requests at the rates of a segment, which begins where the one before has ended.

        Raises:
            Exception: a judge has failed: what follows would show nothing.
        """
        if self._began is None:
            self._began = time.perf_counter()
        began = self._planned_until
        for arrival in poisson_arrivals(segment, self._rng):
            # Also when it is late: answers must be heard.
            await asyncio.sleep(max(0.0, began + arrival - self.elapsed))
            if self._broken is not None:
                raise self._broken
            task = asyncio.create_task(self._attempt(began + arrival))
            self._tasks.add(task)
            task.add_done_callback(self._end)
        self._planned_until = began + segment.seconds
        await asyncio.sleep(max(0.0, self._planned_until - self.elapsed))

    async def ask_in_turn(self, users: int, seconds: float) -> None:
        """Has users ask, each again as soon as it is answered: a closed loop.

        Raises:
            Exception: a judge has failed.
        """
        self._began = time.perf_counter()

        async def ask_again_and_again() -> None:
            while (now := self.elapsed) < seconds:
                await self._attempt(now)
                if not self._ended[-1].status:  # nobody there is asked only so often
                    await asyncio.sleep(_NOBODY_SECONDS)

        await asyncio.gather(*(ask_again_and_again() for _ in range(users)))

    async def finish(self) -> None:
        """Waits for every answer that may still come.

        Raises:
            Exception: a judge has failed.
        """
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._broken is not None:
            raise self._broken

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._broken = error

    async def _attempt(self, planned: float) -> None:
        request, head, tail = self._rng.choice(self._ready)
        self._number += 1
        number, kind = self._number, request.kind
        self._under_way[number] = Exchange(kind, planned)
        if self._places.locked():
            try:
                async with asyncio.timeout(max(0.0, planned + self._max_wait - self.elapsed)):
                    await self._places.acquire()
            except TimeoutError:
                del self._under_way[number]
                self._ended.append(Exchange(kind, planned, ended=self.elapsed))
                return
        else:
            await self._places.acquire()
        sent = self.elapsed
        self._under_way[number] = Exchange(kind, planned, sent)
        request_id = b"%b%016x" % (self._id_prefix, number)
        try:
            answer, fault = await self._ask(request, request_id, head + request_id + tail)
        finally:
            self._places.release()
            del self._under_way[number]
        status, retry = (answer.status, answer.has_retry_after) if answer else (0, False)
        self._ended.append(Exchange(kind, planned, sent, self.elapsed, status, fault or "", retry))

    async def _ask(
        self, request: Request, request_id: bytes, content: bytes
    ) -> tuple[Answer | None, str | None]:
        """The answer, None if none came, and what is wrong with it."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.send(content)
        except (OSError, HttpParserError) as error:
            return None, f"no answer: {type(error).__name__}"
        fault = self._judge(request, answer)
        if fault is None and self._echoes_ids and answer.request_id != request_id:
            fault = "`X-Request-Id` must be echoed"
        return answer, fault


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


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a number of clients saw."""

    exchanges: Exchanges
    seconds: float
    """From the first request to the last answer."""
    cpu_seconds: float
    """What the clients themselves used."""
    reconnections: int
    """How often a connection was closed between two requests."""

    @property
    def requests_per_second(self) -> float:
        """Right answers a second."""
        return float(self.exchanges.right.sum()) / self.seconds


def generate_load(
    url: str,
    requests: Sequence[Request],
    *,
    clients: int,
    seconds: float,
    seed: int = 0,
    headers: Sequence[str] = (),
) -> Load:
    """Has `clients` draw requests and ask for `seconds`; who has asked waits for the answer."""

    async def ask() -> Load:
        async with Client(url) as client:
            generator = Generator(
                client,
                requests,
                rng=random.Random(seed),
                places=clients,
                max_wait=seconds,
                timeout=_TIMEOUT_SECONDS,
                echoes_ids=False,
                headers=headers,
            )
            cpu_before = time.process_time()
            await generator.ask_in_turn(clients, seconds)
            return Load(
                exchanges=generator.ended,
                seconds=generator.elapsed,
                cpu_seconds=time.process_time() - cpu_before,
                reconnections=client.reconnections,
            )

    return uvloop.run(ask())
