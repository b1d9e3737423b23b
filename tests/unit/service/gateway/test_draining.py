"""A gateway that is about to end: who is still answered, and with what."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.gateway.admission import Admission
from service.settings import Limits
from tests.fakes import Connection, Gateway, until

_BODY = json.dumps({"text": "Hello", "source": "en", "target": "de"}).encode()
_LIBRE_BODY = json.dumps({"q": "Hello", "source": "en", "target": "de"}).encode()


async def test_with_nothing_in_work_it_is_over_at_once() -> None:
    admission = Admission(Limits())
    await asyncio.wait_for(admission.drain(), timeout=20)
    assert admission.draining


async def test_what_was_let_in_is_answered_first() -> None:
    gateway = Gateway()
    answers = gateway.backend.hold_next()
    connection = Connection()
    connection.body(_BODY)
    request = connection.start(gateway.app)
    await until(lambda: gateway.backend.num_active == 1)

    draining = asyncio.create_task(gateway.admission.drain())
    await until(lambda: gateway.admission.draining)
    async with gateway.client() as client:
        assert (await client.post("/v1/translate", content=_BODY)).status_code == 503
    assert not draining.done()
    answers.set()
    await asyncio.wait_for(draining, timeout=20)
    await request
    assert connection.status == 200


async def test_a_body_that_is_still_coming_has_been_let_in() -> None:
    gateway = Gateway()
    connection = Connection()
    connection.body(_BODY[:5], more=True)
    request = connection.start(gateway.app)
    await until(lambda: connection.num_received == 1)
    draining = asyncio.create_task(gateway.admission.drain())
    await until(lambda: gateway.admission.draining)
    connection.body(_BODY[5:])
    await asyncio.wait_for(draining, timeout=20)
    await request
    assert connection.status == 200


async def test_a_client_that_leaves_is_not_waited_for() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection()
    connection.body(_BODY)
    request = connection.start(gateway.app)
    await until(lambda: gateway.backend.num_active == 1)
    draining = asyncio.create_task(gateway.admission.drain())
    connection.disconnect()
    await asyncio.wait_for(draining, timeout=20)
    await request


@pytest.mark.parametrize(("path", "body"), [("/v1/translate", _BODY), ("/translate", _LIBRE_BODY)])
async def test_new_work_is_refused_in_the_words_of_its_api(path: str, body: bytes) -> None:
    gateway = Gateway()
    await gateway.admission.drain()
    headers = {"content-type": "application/json", "x-request-id": "r-1"}
    async with gateway.client() as client:
        answer = await client.post(path, content=body, headers=headers)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-Id"] == "r-1"
    message = "the service is about to end; try again later"
    native = {"error": {"type": "unavailable", "message": message}, "request_id": "r-1"}
    assert answer.json() == (native if path == "/v1/translate" else {"error": message})
    assert gateway.backend.calls == []
    assert gateway.count(
        "polyhead_http_requests_total", route=path, status="503", source="", target=""
    )


async def test_it_is_not_ready_any_more_but_alive_and_still_counted() -> None:
    gateway = Gateway()
    async with gateway.client() as client:
        assert (await client.get("/ready")).status_code == 200
        await gateway.admission.drain()
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
