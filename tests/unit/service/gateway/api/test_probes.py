"""Health, readiness, metrics."""

from __future__ import annotations

import asyncio

import pytest

from service.routing.router import ReplicaLostError
from tests.fakes import FakeBackend, Gateway


async def test_health_does_not_ask_the_models() -> None:
    backend = FakeBackend()
    backend.check_answers.clear()
    async with Gateway(backend).client() as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert backend.num_checks == 0


async def test_ready_when_every_model_answers() -> None:
    async with Gateway(FakeBackend("a"), FakeBackend("b")).client() as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "models": [{"name": "a", "ready": True}, {"name": "b", "ready": True}],
    }


async def test_not_ready_while_a_model_is_missing() -> None:
    well, slow, broken = FakeBackend("well"), FakeBackend("slow"), FakeBackend("broken")
    slow.check_answers.clear()
    broken.check_error = ReplicaLostError()
    gateway = Gateway(well, slow, broken, info_timeout_seconds=0.01)
    async with gateway.client() as client:
        answer = await client.get("/ready")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "not ready",
            "models": [
                {"name": "well", "ready": True},
                {"name": "slow", "ready": False, "problem": "did not answer within 0.01 s"},
                {"name": "broken", "ready": False, "problem": "failed with ReplicaLostError"},
            ],
        }
        slow.check_answers.set()
        broken.check_error = None
        assert (await client.get("/ready")).status_code == 200


async def test_a_model_that_sleeps_is_ready_and_sleeps_on() -> None:
    asleep = FakeBackend("asleep", can_sleep=True)
    asleep.num_replicas = 0
    async with Gateway(asleep).client() as client:
        answer = await client.get("/ready")
        models = (await client.get("/v1/models")).json()["models"]
    assert answer.json()["models"] == [{"name": "asleep", "ready": True, "asleep": True}]
    assert models[0]["asleep"] is True
    assert (asleep.num_checks, asleep.calls) == (0, [])


async def test_metrics_are_those_that_were_rendered() -> None:
    async def render() -> bytes:
        return b"polyhead_http_requests_total 5\n"

    async with Gateway(render_metrics=render).client() as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.text) == (200, "polyhead_http_requests_total 5\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_that_do_not_come_are_waited_for_in_vain_only_so_long() -> None:
    async def render() -> bytes:
        await asyncio.Event().wait()
        return b""

    async with Gateway(render_metrics=render, metrics_timeout_seconds=0.01).client() as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_a_wrong_method(path: str) -> None:
    async with Gateway().client() as client:
        answer = await client.post(path, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
