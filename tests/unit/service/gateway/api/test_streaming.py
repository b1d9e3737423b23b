"""Answers as server-sent events: their form, errors, clients that leave or read slowly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from model.errors import DeadlineExceededError, EngineDeadError, InvalidRequestError, QueueFullError
from model.translation import TextDelta
from service.gateway.api.deltas import Deltas
from service.routing.router import ReplicaLostError
from tests.fakes import Connection, FakeBackend, Gateway, until

HELLO = {"text": "Hello there, you", "source": "en", "target": "de"}
FINISHED = "polyhead_http_requests_total"


def events(text: str) -> list[tuple[str, Any]]:
    """Name and data of each."""
    found = []
    for part in text.removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def _post(gateway: Gateway, body: Any, **headers: str) -> httpx.Response:
    async with gateway.client() as client:
        return await client.post("/v1/translate", json={**body, "stream": True}, headers=headers)


async def _plain(gateway: Gateway, body: Any) -> Any:
    async with gateway.client() as client:
        return (await client.post("/v1/translate", json=body)).json()


def joined(found: list[tuple[str, Any]], count: int) -> list[str]:
    """The texts of the deltas, which must be in reading order."""
    deltas = [data for name, data in found if name == "delta"]
    assert [each["index"] for each in deltas] == sorted(each["index"] for each in deltas)
    return ["".join(each["text"] for each in deltas if each["index"] == n) for n in range(count)]


async def test_parts_and_then_the_plain_answer() -> None:
    gateway = Gateway()
    answer = await _post(gateway, HELLO, **{"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-accel-buffering"] == "no"
    assert not {"content-encoding", "content-length"} & answer.headers.keys()
    found = events(answer.text)
    assert [name for name, _ in found] == ["delta"] * (len(found) - 1) + ["result"]
    assert joined(found, 1) == ["de:Hello there, you"]
    assert found[-1][1] == await _plain(gateway, HELLO)


async def test_all_that_a_request_may_ask_for_is_in_the_result() -> None:
    body = {
        "texts": ["a b", "", "c"], "target": "de", "source": "en", "return_scores": True,
        "return_alignments": True, "generation": {"num_hypotheses": 2, "beam_size": 2},
    }  # fmt: skip
    gateway = Gateway()
    found = events((await _post(gateway, body)).text)
    assert joined(found, 3) == ["de:a b", "", "de:c"]
    assert found[-1] == ("result", await _plain(gateway, body))


async def test_texts_in_several_languages_come_in_their_order() -> None:
    english, german = (
        FakeBackend("en-fr", (("en", "fr"),)),
        FakeBackend("de-fr", (("de", "fr"),)),
    )
    held = english.hold_next()
    gateway = Gateway(english, german)
    texts = [
        "The house is old and stands there.",
        "Das Haus ist alt und steht dort.",
        "C'est une belle maison, n'est-ce pas ?",
    ]
    connection = Connection()
    connection.body(json.dumps({"texts": texts, "target": "fr", "stream": True}).encode())
    task = connection.start(gateway.app)
    await until(lambda: bool(german.calls) and english.num_active == 1 and german.num_active == 0)
    for _ in range(10):
        await asyncio.sleep(0)
    bodies = [one["body"] for one in connection.sent if one["type"] == "http.response.body"]
    assert bodies == []
    held.set()
    await task
    found = events(b"".join(one.get("body", b"") for one in connection.sent).decode())
    assert joined(found, 3) == [f"fr:{texts[0]}", f"fr:{texts[1]}", texts[2]]


async def test_by_way_of_a_pivot_the_last_model_is_told_of() -> None:
    backends = FakeBackend("de-en", (("de", "en"),)), FakeBackend("en-fr", (("en", "fr"),))
    gateway = Gateway(*backends)
    body = {"text": "a b", "source": "de", "target": "fr"}
    found = events((await _post(gateway, body)).text)
    assert joined(found, 1) == ["fr:en:a b"]
    assert found[-1] == ("result", await _plain(gateway, body))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequestError("no"), 422),
        (QueueFullError("full"), 503),
        (DeadlineExceededError("late"), 504),
        (ValueError("unknown"), 500),
    ],
)
async def test_an_error_before_the_first_part_is_an_answer(error: Exception, status: int) -> None:
    gateway = Gateway()
    gateway.backend.fail_next(error)
    answer = await _post(gateway, HELLO)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/json; charset=utf-8",
    )
    assert answer.json().keys() == {"error", "request_id"}


async def test_what_is_refused_is_no_stream() -> None:
    answer = await _post(Gateway(), {**HELLO, "target": "xx"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "unsupported_language")


@pytest.mark.parametrize("error", [ReplicaLostError(), EngineDeadError("stopped")])
async def test_a_replica_lost_before_the_first_part_is_replaced(error: Exception) -> None:
    gateway = Gateway()
    gateway.backend.fail_next(error)
    found = events((await _post(gateway, HELLO)).text)
    assert joined(found, 1) == ["de:Hello there, you"]
    assert len(gateway.backend.calls) == 2


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (ReplicaLostError(), "unavailable", 503),
        (EngineDeadError("stopped"), "unavailable", 503),
        (DeadlineExceededError("late"), "deadline_exceeded", 504),
        (ValueError("secret"), "internal_error", 500),
    ],
)
async def test_an_error_after_the_first_part_is_an_event(
    error: Exception, kind: str, status: int
) -> None:
    gateway = Gateway()
    gateway.backend.after_first_delta = error
    answer = await _post(gateway, HELLO, **{"x-request-id": "r-1"})
    found = events(answer.text)
    assert answer.status_code == 200
    assert [name for name, _ in found] == ["delta", "error"]
    assert found[-1][1]["error"]["type"] == kind
    assert found[-1][1]["request_id"] == "r-1"
    assert "secret" not in answer.text
    assert len(gateway.backend.calls) == 1
    labels = {"route": "/v1/translate", "source": "en", "target": "de"}
    assert gateway.count(FINISHED, status=str(status), **labels) == 1


async def test_the_deadline_ends_a_stream_with_an_event() -> None:
    gateway = Gateway()
    gateway.backend.after_first_delta = asyncio.Event()
    answer = await _post(gateway, HELLO, **{"x-request-timeout-seconds": "0.2"})
    found = events(answer.text)
    assert [name for name, _ in found] == ["delta", "error"]
    assert found[-1][1]["error"]["type"] == "deadline_exceeded"
    assert gateway.backend.num_cancelled == 1


async def test_the_first_part_is_sent_while_the_rest_is_made() -> None:
    gateway = Gateway()
    gateway.backend.after_first_delta = held = asyncio.Event()
    connection = Connection()
    connection.body(json.dumps({**HELLO, "stream": True}).encode())
    task = connection.start(gateway.app)
    await until(lambda: len(connection.sent) > 1)
    assert connection.sent[1]["more_body"]
    assert events(connection.sent[1]["body"].decode()) == [
        ("delta", {"index": 0, "text": "de:Hello "})
    ]
    assert gateway.admission.in_flight() == {"/v1/translate": 1}
    held.set()
    await task
    assert gateway.admission.in_flight() == {"/v1/translate": 0}


@pytest.mark.parametrize("begun", [False, True])
async def test_who_leaves_frees_the_replica(begun: bool) -> None:
    gateway = Gateway()
    if begun:
        gateway.backend.after_first_delta = asyncio.Event()
    else:
        gateway.backend.hold_next()
    connection = Connection()
    connection.body(json.dumps({**HELLO, "stream": True}).encode())
    task = connection.start(gateway.app)
    await until(lambda: gateway.backend.num_active == 1 and bool(connection.sent) is begun)
    connection.disconnect()
    await task
    assert (gateway.backend.num_active, gateway.backend.num_cancelled) == (0, 1)
    labels = {"route": "/v1/translate", "source": "en", "target": "de"}
    assert gateway.count(FINISHED, status="499", **labels) == 1


async def test_draining_waits_for_streams() -> None:
    gateway = Gateway()
    gateway.backend.after_first_delta = held = asyncio.Event()
    connection = Connection()
    connection.body(json.dumps({**HELLO, "stream": True}).encode())
    task = connection.start(gateway.app)
    await until(lambda: len(connection.sent) > 1)
    drained = asyncio.ensure_future(gateway.admission.drain())
    await asyncio.sleep(0.01)
    assert not drained.done()
    held.set()
    await asyncio.gather(task, drained)


async def test_who_reads_slowly_gets_more_at_a_time() -> None:
    gateway = Gateway()
    connection = Connection()
    words = " ".join(f"word{number}" for number in range(500))
    connection.body(json.dumps({**HELLO, "text": words, "stream": True}).encode())
    reading = asyncio.Event()
    send = connection._send

    async def send_slowly(message: Any) -> None:
        await send(message)
        if len(connection.sent) == 2:
            await reading.wait()

    connection._send = send_slowly  # type: ignore[method-assign]
    task = connection.start(gateway.app)
    await until(lambda: len(connection.sent) == 2 and gateway.backend.num_active == 0)
    reading.set()
    await task
    bodies = [one for one in connection.sent if one["type"] == "http.response.body"]
    assert len(bodies) <= 3
    found = events(b"".join(one["body"] for one in bodies).decode())
    assert joined(found, 1) == [f"de:{words}"]


def test_deltas_of_parts_are_put_in_order() -> None:
    deltas = Deltas(4)
    even, odd = deltas.of_part((0, 2)), deltas.of_part((1, 3))
    odd((TextDelta(0, "b"), TextDelta(1, "d")))
    assert deltas.take() == []
    even((TextDelta(0, "a"),))
    assert deltas.take() == [TextDelta(0, "a")]
    even((TextDelta(0, "a"), TextDelta(1, "c")))
    assert deltas.take() == [TextDelta(0, "a"), TextDelta(1, "b"), TextDelta(2, "c")]
    deltas.end((1, 3))
    assert deltas.take() == []
    deltas.end((0, 2))
    assert deltas.take() == [TextDelta(3, "d")]
