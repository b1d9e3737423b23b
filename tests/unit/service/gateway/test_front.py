"""What stands before a gateway in a single process; its server is tested with sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.gateway.front import WRITABLE, FrontMiddleware, network_of
from tests.fakes import Connection, Gateway, until

BODY = json.dumps({"text": "Hello", "source": "en", "target": "de"}).encode()


def _front(gateway: Gateway) -> FrontMiddleware:
    return FrontMiddleware(gateway.app, gateway.settings.limits, gateway.settings.connections)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a socket", "a socket"),
    ],
)
def test_whose_limits_a_client_counts_for(host: str, network: str) -> None:
    assert network_of((host, 1)) == network
    assert network_of(None) == ""


async def test_nobody_says_the_address_of_another() -> None:
    gateway = Gateway(access={"per_address": {"requests_per_minute": 1}})
    front = _front(gateway)
    statuses = []
    for address in ("192.0.2.1", "192.0.2.2"):
        connection = Connection(
            headers={"content-length": str(len(BODY)), "x-polyhead-address": address}
        )
        connection.body(BODY)
        await connection.start(front)
        statuses.append(connection.status)
    assert statuses == [200, 429]


async def test_a_request_has_a_place_when_all_of_it_is_there() -> None:
    gateway = Gateway(limits={"max_in_flight": 1})
    front = _front(gateway)
    slow = Connection(headers={"content-length": str(len(BODY))})
    slow.body(BODY[:10], more=True)
    answered = slow.start(front)
    await until(lambda: slow.num_received == 1)
    assert gateway.admission.in_flight() == {}
    other = Connection(headers={"content-length": str(len(BODY))})
    other.body(BODY)
    await other.start(front)
    assert other.status == 200
    slow.body(BODY[10:])
    await answered
    assert slow.status == 200
    assert gateway.backend.calls[-1].texts == ("Hello",)


async def test_who_leaves_within_its_body_is_forgotten() -> None:
    gateway = Gateway()
    connection = Connection(headers={"transfer-encoding": "chunked"})
    connection.body(BODY[:5], more=True)
    connection.disconnect()
    await connection.start(_front(gateway))
    assert connection.sent == []
    labels = {"route": "/v1/translate", "status": "499", "source": "", "target": ""}
    assert gateway.count("polyhead_http_requests_total", **labels) == 1


async def test_a_client_that_leaves_takes_its_work_along() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection(headers={"content-length": str(len(BODY))})
    connection.body(BODY)
    answered = connection.start(_front(gateway))
    await until(lambda: gateway.backend.num_active == 1)
    connection.disconnect()
    await answered
    assert gateway.backend.num_cancelled == 1


async def test_who_has_not_read_its_answers_waits_for_the_next_one() -> None:
    gateway, reads = Gateway(), asyncio.Event()
    connection = Connection(headers={"content-length": str(len(BODY))})
    connection.scope["extensions"] = {WRITABLE: reads.wait}
    connection.body(BODY)
    answered = connection.start(_front(gateway))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (connection.num_received, gateway.backend.calls) == (0, [])
    reads.set()
    await answered
    assert connection.status == 200


async def test_probes_of_one_address_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.gateway.front._RETRY_AFTER_SECONDS", 0.0)
    answers = asyncio.Event()

    async def rendered() -> bytes:
        await answers.wait()
        return b""

    gateway = Gateway(render_metrics=rendered)
    front = _front(gateway)
    probes = [Connection("/metrics", method="GET") for _ in range(17)]
    tasks = [probe.start(front) for probe in probes]
    await until(lambda: probes[-1].status is not None)
    assert [probe.status for probe in probes] == [None] * 16 + [503]
    answers.set()
    await asyncio.gather(*tasks)
    assert {probe.status for probe in probes[:16]} == {200}


async def test_what_is_refused_is_logged_and_counted_as_all_else() -> None:
    gateway = Gateway()
    connection = Connection("/translate", method="GET")
    connection.scope["query_string"] = b"q" * 20_000
    await connection.start(_front(gateway))
    assert connection.status == 414
    assert connection.json() == {"error": "the URL must have at most 16384 bytes, but has more"}
    labels = {"route": "/translate", "status": "414", "source": "", "target": ""}
    assert gateway.count("polyhead_http_requests_total", **labels) == 1
