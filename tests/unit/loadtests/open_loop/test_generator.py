"""Requests start when they are due, whatever becomes of those before."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from httptools import HttpParserError

from loadtests.corpus import Corpus
from loadtests.mix import Mix
from loadtests.open_loop.client import Answer, Client
from loadtests.open_loop.exchanges import Exchanges
from loadtests.open_loop.generator import Generator
from loadtests.open_loop.profiles import constant

_REQUESTS = Mix("sentences", Corpus.read()).each(random.Random(1))
_RIGHT = {"translations": [{"text": "ja", "finish_reason": "stop"}], "model": "m"}


class _Client(Client):
    """Answers by itself, once `ready` is set, with what a test wants."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.sent: list[bytes] = []
        self.ready = asyncio.Event()
        self.ready.set()
        self.answer: dict[str, Any] = {}
        self.error: Exception | None = None

    async def send(self, request: bytes) -> Answer:
        self.sent.append(request)
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        request_id = request.split(b"X-Request-Id: ")[1].split(b"\r\n")[0]
        usual = {
            "status": 200,
            "request_id": request_id,
            "has_retry_after": False,
            "content": json.dumps(_RIGHT).encode(),
        }
        return Answer(**usual | self.answer)


@pytest.fixture
async def client() -> _Client:
    return _Client()


def _generator(client: Client, **changes: Any) -> Generator:
    values = {"rng": random.Random(2), "places": 1000, "max_wait": 0.0, "timeout": 60.0}
    return Generator(client, _REQUESTS, **values | changes)


async def _offered(generator: Generator) -> Exchanges:
    """Some forty requests and what became of them."""
    await generator.offer(constant(400, 0.1))
    await generator.finish()
    return generator.ended


async def test_every_request_is_sent_and_judged(client: _Client) -> None:
    generator = _generator(client, headers=["A: b"])
    exchanges = await _offered(generator)
    assert len(exchanges) == len(client.sent) == len(set(client.sent)) > 10
    assert exchanges.right.all()
    assert exchanges.latencies.min() >= 0
    assert all(b"\r\nA: b\r\n" in request for request in client.sent)
    assert len(generator.exchanges) == len(exchanges)


async def test_it_waits_for_nobody(client: _Client) -> None:
    client.ready.clear()
    generator = _generator(client)
    await generator.offer(constant(400, 0.1))
    under_way = generator.exchanges
    assert len(under_way) == len(client.sent) > 10
    assert under_way.unfinished.all()
    client.ready.set()
    await generator.finish()
    exchanges = generator.ended
    assert exchanges.right.all()
    # The answers came together, and the first one waited longest.
    assert exchanges.latencies.max() > 0.05


async def test_segments_follow_each_other(client: _Client) -> None:
    generator = _generator(client)
    for _ in range(2):
        await generator.offer(constant(400, 0.05))
    await generator.finish()
    exchanges = generator.ended
    assert len(exchanges.planned_between(0, 0.05)) + len(
        exchanges.planned_between(0.05, 0.1)
    ) == len(exchanges)
    assert generator.elapsed >= 0.1


async def test_who_finds_no_place_is_not_sent(client: _Client) -> None:
    client.ready.clear()
    generator = _generator(client, places=3)
    await generator.offer(constant(400, 0.1))
    client.ready.set()
    await generator.finish()
    exchanges = generator.ended
    assert len(client.sent) == exchanges.right.sum() == 3
    assert exchanges.unsent.sum() == len(exchanges) - 3


async def test_who_waits_for_a_place_gets_it_and_counts_from_its_plan(client: _Client) -> None:
    exchanges = await _offered(_generator(client, places=1, max_wait=60.0))
    assert exchanges.right.all()
    assert exchanges.send_delays.max() < 60


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"status": 500}, "the status must be 200, but is 500"),
        (
            {"status": 503, "has_retry_after": True},
            "the status must be 200, but is 503, with Retry-After",
        ),
        ({"request_id": b"another"}, "`X-Request-Id` must be echoed"),
        ({"content": b"<html>"}, "the answer must be JSON"),
        ({"content": b"[]"}, "the answer must be a JSON object"),
    ],
)
async def test_a_wrong_answer_is_a_fault(
    client: _Client, answer: dict[str, Any], fault: str
) -> None:
    client.answer = answer
    exchanges = await _offered(_generator(client))
    assert exchanges.failed.all()
    assert set(exchanges.faults) == {fault}


async def test_other_services_need_not_echo(client: _Client) -> None:
    client.answer = {"request_id": None}
    assert (await _offered(_generator(client, echoes_ids=False))).right.all()


@pytest.mark.parametrize("error", [ConnectionResetError(), HttpParserError("no HTTP")])
async def test_no_answer_is_a_fault(client: _Client, error: Exception) -> None:
    client.error = error
    exchanges = await _offered(_generator(client))
    assert set(exchanges.faults) == {f"no answer: {type(error).__name__}"}
    assert set(exchanges.rows["status"]) == {0}


async def test_an_answer_is_not_waited_for_any_longer_than_its_time(client: _Client) -> None:
    client.ready.clear()
    exchanges = await _offered(_generator(client, timeout=0.01))
    assert set(exchanges.faults) == {"no answer: TimeoutError"}


async def test_a_judge_that_breaks_ends_it(client: _Client) -> None:
    def broken(*_: object) -> str | None:
        raise ZeroDivisionError

    steps: list[Callable[[Generator], Any]] = [_offered, lambda one: one.finish()]
    generator = _generator(client, judge=broken)
    for step in steps:
        with pytest.raises(ZeroDivisionError):
            await step(generator)
