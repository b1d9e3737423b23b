"""Ids, numbers, limits of the body, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from model.config import Priority
from model.errors import DeadlineExceededError, QueueFullError, RequestCancelledError
from service.errors import ModelUnavailableError
from service.gateway.admission import Admission
from service.gateway.answer_headers import AnswerHeaders, CrossOrigin
from service.gateway.middleware import AdmissionMiddleware, ObservabilityMiddleware
from service.gateway.request_context import RequestContext
from service.routing.router import ReplicaLostError
from service.settings import Limits
from tests.fakes import Connection, FakeBackend, Gateway, until

NO_ORIGIN = AnswerHeaders(CrossOrigin([], open_routes=(), routes=()))

BODY = json.dumps({"text": "Hello", "source": "en", "target": "de"}).encode()
FINISHED = "polyhead_http_requests_total"
IN_FLIGHT = "polyhead_http_requests_in_flight"


def _finished(gateway: Gateway, status: int, **labels: str) -> float:
    labels = {"route": "/v1/translate", "source": "", "target": ""} | labels
    return gateway.count(FINISHED, status=str(status), **labels)


async def _wait_for_call(backend: FakeBackend) -> None:
    await until(lambda: backend.num_active == 1)


# --- request id -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/translate", "/health", "/nothing", "/translate"])
async def test_a_request_id_is_echoed(path: str) -> None:
    async with Gateway().client() as client:
        answer = await client.get(path, headers={"X-Request-Id": "order-4711"})
    assert answer.headers.get_list("X-Request-Id") == ["order-4711"]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129])
async def test_a_missing_or_dangerous_request_id_is_replaced(given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    async with Gateway().client() as client:
        first = await client.get("/health", headers=headers)
        second = await client.get("/health", headers=headers)
    assert len(first.headers["X-Request-Id"]) == 32
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


async def test_the_request_id_goes_to_the_replica_and_into_error_bodies() -> None:
    gateway = Gateway()
    async with gateway.client() as client:
        headers = {"X-Request-Id": "r-1"}
        await client.post("/v1/translate", content=BODY, headers=headers | JSON)
        answer = await client.post("/v1/translate", content=b"{", headers=headers | JSON)
    assert gateway.backend.calls[0].request_id == "r-1"
    assert answer.json()["request_id"] == "r-1"


async def test_a_server_in_front_may_echo_the_id_itself() -> None:
    async with Gateway(echo_request_id=False).client() as client:
        kept = await client.get("/health", headers={"X-Request-Id": "r-1"})
        replaced = await client.get("/health", headers={"X-Request-Id": "a b"})
    assert "X-Request-Id" not in kept.headers
    assert len(replaced.headers["X-Request-Id"]) == 32


JSON = {"content-type": "application/json"}


# --- metrics --------------------------------------------------------------------------------------


async def test_requests_are_counted_by_route_status_and_pair() -> None:
    gateway = Gateway()
    async with gateway.client() as client:
        await client.post("/v1/translate", content=BODY.replace(b'"en"', b'"EN"'), headers=JSON)
        await client.post("/v1/translate", content=BODY.replace(b"de", b"xx"), headers=JSON)
        await client.get("/v1/translate")
        await client.get("/made/up/by/the/client")
    assert _finished(gateway, 200, source="en", target="de") == 1
    assert _finished(gateway, 422) == 1
    assert _finished(gateway, 405) == 1
    assert _finished(gateway, 404, route="other") == 1
    assert gateway.count(IN_FLIGHT, route="/v1/translate") == 0


OVERLOADED = "polyhead_http_requests_overloaded_total"


async def test_only_overload_is_counted_as_demand() -> None:
    gateway = Gateway(limits={"max_in_flight": 1})
    gateway.backend.fail_next(
        QueueFullError("x"), DeadlineExceededError("x"), RequestCancelledError("x"), KeyError("x")
    )
    async with gateway.client() as client:
        for _ in range(4):
            await client.post("/v1/translate", content=BODY, headers=JSON)
        assert gateway.count(OVERLOADED, model_name="en-de", placement="") == 1
        gateway.backend.hold_next()
        held = asyncio.create_task(client.post("/v1/translate", content=BODY, headers=JSON))
        await _wait_for_call(gateway.backend)
        assert (await client.post("/translate", content=BODY, headers=JSON)).status_code == 503
        # Refused before its model is known: it counts for what is in work.
        assert gateway.count(OVERLOADED, model_name="en-de", placement="") == 2
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_a_service_that_is_not_ready_is_no_demand() -> None:
    backend = FakeBackend()
    backend.check_error = ValueError("x")
    backend.fail_next(ModelUnavailableError("x"))
    gateway = Gateway(backend)
    async with gateway.client() as client:
        assert (await client.get("/ready")).status_code == 503
        assert (await client.post("/v1/translate", content=BODY, headers=JSON)).status_code == 503
    assert gateway.count(OVERLOADED, model_name="en-de", placement="") == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/v1/somethings/7", 200, "/v1/somethings/{id}"),
        ("GET", "/v1/somethings/8", 200, "/v1/somethings/{id}"),
        ("HEAD", "/v1/somethings/7", 200, "/v1/somethings/{id}"),
        ("POST", "/v1/somethings/7", 405, "/v1/somethings/{id}"),
        ("GET", "/v1/somethings/7/8", 404, "other"),
        ("GET", "/docs/files/swagger-ui.css", 200, "/docs/files"),
        ("GET", "/docs/files/nothing", 404, "/docs/files"),
    ],
)
async def test_a_route_with_a_parameter_is_counted_as_one(
    method: str, path: str, status: int, route: str
) -> None:
    async def document(id: str) -> dict[str, str]:
        return {"id": id}

    gateway = Gateway()
    gateway.app.add_api_route("/v1/somethings/{id}", document)
    async with gateway.client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert gateway.count(FINISHED, route=route, status=str(status), source="", target="") == 1


async def test_a_request_is_in_flight_until_its_end() -> None:
    gateway = Gateway()
    release = gateway.backend.hold_next()
    connection = Connection()
    connection.body(BODY)
    running = connection.start(gateway.app)
    await _wait_for_call(gateway.backend)
    assert gateway.count(IN_FLIGHT, route="/v1/translate") == 1
    release.set()
    await running
    assert gateway.count(IN_FLIGHT, route="/v1/translate") == 0


async def test_retries_are_counted() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(ReplicaLostError())
    async with gateway.client() as client:
        answer = await client.post("/v1/translate", content=BODY, headers=JSON)
    assert answer.status_code == 200
    assert gateway.count("polyhead_request_retries_total", reason="lost") == 1


# --- limits ---------------------------------------------------------------------------------------


async def test_an_announced_body_that_is_too_large_is_not_read() -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024})
    connection = Connection(headers={"content-length": "1025"})
    await connection.start(gateway.app)
    assert (connection.status, connection.num_received) == (413, 0)
    assert connection.json()["error"] == {
        "type": "body_too_large",
        "message": "the body must have at most 1024 bytes, but has 1025",
    }
    assert connection.headers["connection"] == "close"


async def test_a_body_in_chunks_is_read_up_to_the_limit_only() -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024})
    connection = Connection(headers={"transfer-encoding": "chunked"})
    for _ in range(100):
        connection.body(b" " * 500, more=True)
    await connection.start(gateway.app)
    assert (connection.status, connection.num_received) == (413, 3)
    assert gateway.backend.calls == []


async def test_a_content_length_that_lies_does_not_help() -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024})
    connection = Connection(headers={"content-length": "5"})
    connection.body(b" " * 1025)
    await connection.start(gateway.app)
    assert connection.status == 413


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "abc", "²"])
async def test_an_absurd_content_length_is_no_crash(length: str) -> None:
    gateway = Gateway()
    connection = Connection(headers={"content-length": length})
    connection.body(BODY)
    await connection.start(gateway.app)
    assert connection.status in (200, 413)


async def test_a_body_in_pieces_is_put_together() -> None:
    gateway = Gateway()
    connection = Connection()
    for index in range(len(BODY)):
        connection.body(BODY[index : index + 1], more=True)
    connection.body(b"")
    await connection.start(gateway.app)
    assert connection.json()["translations"][0]["text"] == "de:Hello"


async def test_a_body_that_does_not_come_is_waited_for_in_vain_only_so_long() -> None:
    gateway = Gateway(limits={"body_timeout_seconds": 0.01})
    connection = Connection()
    connection.body(BODY[:10], more=True)
    await connection.start(gateway.app)
    assert connection.status == 408
    assert connection.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/health", "/languages", "/v1/translate", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_a_body_is_held_against_the_limits_whatever_the_method(
    method: str, path: str
) -> None:
    gateway = Gateway(limits={"max_body_bytes": 1024, "body_timeout_seconds": 0.01})
    announced = Connection(path, method=method, headers={"content-length": "1025"})
    await announced.start(gateway.app)
    assert (announced.status, announced.num_received) == (413, 0)
    too_long = Connection(path, method=method, headers={"transfer-encoding": "chunked"})
    for _ in range(100):
        too_long.body(b" " * 500, more=True)
    await too_long.start(gateway.app)
    assert (too_long.status, too_long.num_received) == (413, 3)
    too_slow = Connection(path, method=method, headers={"content-length": "100"})
    too_slow.body(b" " * 50, more=True)
    await too_slow.start(gateway.app)
    assert too_slow.status == 408


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
async def test_a_get_without_a_body_waits_for_none(headers: dict[str, str]) -> None:
    connection = Connection("/health", method="GET", headers=headers)
    await connection.start(Gateway().app)
    assert (connection.status, connection.num_received) == (200, 0)


async def test_a_get_with_a_body_takes_a_place() -> None:
    gateway = Gateway(limits={"max_in_flight": 1})
    release = gateway.backend.hold_next()
    first = Connection()
    first.body(BODY)
    running = first.start(gateway.app)
    await _wait_for_call(gateway.backend)
    second = Connection("/languages", method="GET", headers={"content-length": "5"})
    await second.start(gateway.app)
    assert (second.status, second.num_received) == (503, 0)
    release.set()
    await running


async def test_one_request_too_many_is_sent_away_before_its_body_is_read() -> None:
    gateway = Gateway(limits={"max_in_flight": 1})
    release = gateway.backend.hold_next()
    first = Connection()
    first.body(BODY)
    running = first.start(gateway.app)
    await _wait_for_call(gateway.backend)
    for path in ("/v1/translate", "/translate"):
        second = Connection(path)
        await second.start(gateway.app)
        assert (second.status, second.num_received) == (503, 0)
        assert second.headers["retry-after"] == "1"
        assert "as many as it may" in str(second.json()["error"])
    health = Connection("/health", method="GET")
    await health.start(gateway.app)
    assert health.status == 200
    release.set()
    await running
    assert first.status == 200
    third = Connection()
    third.body(BODY)
    await third.start(gateway.app)
    assert third.status == 200


async def test_the_priority_of_a_request_reaches_the_model() -> None:
    gateway = Gateway()
    body = {"text": "abc", "source": "en", "target": "de"}
    async with gateway.client() as client:
        for headers in ({}, {"X-Request-Priority": "batch"}):
            answer = await client.post("/v1/translate", json=body, headers=headers)
            assert answer.status_code == 200
        wrong = await client.post("/v1/translate", json=body, headers={"x-request-priority": "1"})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["field"] == "x-request-priority"
    priorities = [call.priority for call in gateway.backend.calls]
    assert priorities == [Priority.INTERACTIVE, Priority.BATCH]


# --- clients that leave ---------------------------------------------------------------------------


async def test_a_client_that_leaves_takes_its_work_along() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection()
    connection.body(BODY)
    running = connection.start(gateway.app)
    await _wait_for_call(gateway.backend)
    connection.disconnect()
    await running
    await until(lambda: gateway.backend.num_cancelled == 1)
    assert connection.sent == []
    assert _finished(gateway, 499, source="en", target="de") == 1
    assert gateway.count(IN_FLIGHT, route="/v1/translate") == 0
    assert running.cancelling() == 0


async def test_a_broken_way_to_the_client_is_a_client_that_left() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection()
    connection.body(BODY)
    running = connection.start(gateway.app)
    await _wait_for_call(gateway.backend)
    connection.break_down(RuntimeError("the proxy died"))
    await running
    await until(lambda: gateway.backend.num_cancelled == 1)


async def test_a_client_that_leaves_within_its_body_is_forgotten() -> None:
    gateway = Gateway()
    connection = Connection()
    connection.body(BODY[:5], more=True)
    connection.disconnect()
    await connection.start(gateway.app)
    assert (connection.sent, gateway.backend.calls) == ([], [])
    assert _finished(gateway, 499) == 1


async def test_a_way_that_breaks_within_the_body_is_no_failure_of_ours() -> None:
    gateway = Gateway()
    connection = Connection()
    connection.body(BODY[:5], more=True)
    connection.break_down(RuntimeError("the proxy gave it up"))
    await connection.start(gateway.app)
    assert (connection.sent, gateway.backend.calls) == ([], [])
    assert (_finished(gateway, 499), _finished(gateway, 500)) == (1, 0)


async def test_a_server_that_cancels_the_handler_does_the_same() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection()
    connection.body(BODY)
    running = connection.start(gateway.app)
    await _wait_for_call(gateway.backend)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: gateway.backend.num_cancelled == 1)
    assert _finished(gateway, 499, source="en", target="de") == 1
    assert gateway.count(IN_FLIGHT, route="/v1/translate") == 0


async def test_a_cancellation_from_outside_is_not_swallowed_when_the_client_leaves_too() -> None:
    gateway = Gateway()
    gateway.backend.hold_next()
    connection = Connection()
    connection.body(BODY)
    running = connection.start(gateway.app)
    await _wait_for_call(gateway.backend)
    connection.disconnect()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: gateway.backend.num_cancelled == 1)


async def test_places_of_clients_that_left_are_free() -> None:
    gateway = Gateway(limits={"max_in_flight": 1})
    for _ in range(3):
        gateway.backend.hold_next()
        connection = Connection()
        connection.body(BODY)
        running = connection.start(gateway.app)
        await _wait_for_call(gateway.backend)
        connection.disconnect()
        await running
        await until(lambda: gateway.backend.num_active == 0)
    last = Connection()
    last.body(BODY)
    await last.start(gateway.app)
    assert last.status == 200


async def test_a_client_that_leaves_after_its_answer_interrupts_nothing() -> None:
    connection = Connection()
    finished = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        connection.disconnect()
        for _ in range(10):
            await asyncio.sleep(0)
        finished.append(True)

    connection.body(BODY)
    RequestContext(request_id="r", route="/").attach(connection.scope)
    await connection.start(AdmissionMiddleware(app, admission=Admission(Limits())))
    assert finished == [True]


async def test_a_handler_can_wait_for_its_client_to_leave() -> None:
    connection = Connection()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])
        connection.disconnect()
        try:
            await receive()
        finally:
            seen.append("left")

    connection.body(BODY)
    RequestContext(request_id="r", route="/").attach(connection.scope)
    await connection.start(AdmissionMiddleware(app, admission=Admission(Limits())))
    assert seen == [BODY, "left"]


# --- failures outside of any handler --------------------------------------------------------------


async def test_an_exception_that_nobody_expected_is_an_internal_error() -> None:
    gateway = Gateway()
    gateway.backend.fail_next(ZeroDivisionError("secret"))
    async with gateway.client() as client:
        answer = await client.post("/v1/translate", content=BODY, headers=JSON)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal_error"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert "secret" not in answer.text
    assert _finished(gateway, 500, source="en", target="de") == 1


async def test_an_exception_within_an_answer_breaks_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    gateway = Gateway()
    observed = ObservabilityMiddleware(
        app,
        metrics=gateway.metrics,
        template_of=lambda scope: str(scope["path"]),
        meant_by=lambda path: "",
        answer_headers=NO_ORIGIN,
        error_response=lambda context, exc: pytest.fail("the status line is out already"),
        log_requests=False,
        echo_request_id=True,
    )
    connection = Connection()
    with pytest.raises(ZeroDivisionError):
        await connection.start(observed)
    assert _finished(gateway, 200) == 1


async def test_what_is_not_http_passes_through() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    gateway = Gateway()
    observed = ObservabilityMiddleware(
        AdmissionMiddleware(app, admission=Admission(Limits())),
        metrics=gateway.metrics,
        template_of=lambda scope: str(scope["path"]),
        meant_by=lambda path: "",
        answer_headers=NO_ORIGIN,
        error_response=lambda context, exc: pytest.fail("there is no error"),
        log_requests=False,
        echo_request_id=True,
    )
    connection = Connection()
    connection.scope["type"] = "lifespan"
    await connection.start(observed)
    assert seen == ["lifespan"]
