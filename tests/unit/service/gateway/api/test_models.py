"""The models over HTTP: what there is, and how operators change it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.catalog.changes import ChangeKind, ModelState, ModelStatus
from service.errors import ModelConflictError, OverloadedError
from service.settings import ModelRecord
from tests.fakes import FakeBackend, Gateway

TOKEN = {"Authorization": "Bearer secret"}
CHANGES = [
    ("POST", "/v1/models", {"model": "/models/news"}),
    ("DELETE", "/v1/models/en-de", None),
    ("POST", "/v1/models/en-de/reload", None),
]


def _gateway(*backends: FakeBackend) -> Gateway:
    return Gateway(*backends, admin_token="secret")


async def _send(
    gateway: Gateway, method: str, path: str, body: Any = None, **headers: str
) -> httpx.Response:
    async with gateway.client() as client:
        return await client.request(method, path, json=body, headers=headers or TOKEN)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_changes_are_for_who_has_the_token(method: str, path: str, body: Any) -> None:
    gateway = _gateway()
    answer = await _send(gateway, method, path, body, Authorization="Bearer wrong")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = await _send(Gateway(), method, path, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")
    assert gateway.changes.submitted == []


async def test_without_the_token_a_body_is_not_looked_at() -> None:
    bad = {f"field{index}": 1 for index in range(10)}
    answer = await _send(_gateway(), "POST", "/v1/models", bad, Authorization="Bearer wrong")
    assert answer.status_code == 401
    assert (await _send(_gateway(), "POST", "/v1/models", bad)).status_code == 422


async def test_changes_are_accepted_at_once() -> None:
    gateway = _gateway()
    answers = [await _send(gateway, method, path, body) for method, path, body in CHANGES]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert [answer.json() for answer in answers] == [
        {"id": "news", "change": "add"},
        {"id": "en-de", "change": "remove"},
        {"id": "en-de", "change": "reload"},
    ]
    record = ModelRecord(model="/models/news", id="news")
    assert gateway.changes.submitted == [
        (ChangeKind.ADD, "news", record),
        (ChangeKind.REMOVE, "en-de", None),
        (ChangeKind.RELOAD, "en-de", None),
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(ModelConflictError("x"), 409), (OverloadedError("x"), 503)]
)
async def test_what_the_catalog_refuses_is_said(error: Exception, status: int) -> None:
    gateway = _gateway()
    gateway.changes.error = error
    answer = await _send(gateway, *CHANGES[0])
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "x")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"model": "a", "colour": "red"}, "colour"),
        ({"model": "a", "placement": "nowhere"}, "placement"),
        ({"model": "/"}, "id"),
        ({"model": "a/.."}, "id"),
        ({"model": "a", "id": "b/c"}, "id"),
        ({"model": "a", "replicas": 0}, "replicas"),
    ],
)
async def test_a_bad_record_is_refused(body: dict[str, Any], field: str) -> None:
    gateway = _gateway()
    answer = await _send(gateway, "POST", "/v1/models", body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert gateway.changes.submitted == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/xx"),
        ("DELETE", "/v1/models/xx"),
        ("POST", "/v1/models/xx/reload"),
    ],
)
async def test_a_model_that_is_not_there(method: str, path: str) -> None:
    answer = await _send(_gateway(), method, path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
    assert "but is 'xx'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/models", "GET, POST"),
        ("/v1/models/en-de", "DELETE, GET"),
        ("/v1/models/en-de/reload", "POST"),
    ],
)
async def test_another_method_is_told_all_that_there_are(path: str, allowed: str) -> None:
    answer = await _send(_gateway(), "PUT", path)
    assert answer.status_code == 405
    assert answer.headers["allow"].startswith(f"{allowed}, ")
    assert f"must be {allowed} at" in answer.json()["error"]["message"]


async def test_a_models_state_and_where_it_is_loaded() -> None:
    gateway = _gateway()
    gateway.changes.sizes = {"en-de": {"Pool#b": 20, "Pool#a": 10}}
    answer = (await _send(gateway, "GET", "/v1/models/en-de")).json()
    assert (answer["state"], answer["shared"]) == ("ready", False)
    assert "change" not in answer
    assert answer["model"]["name"] == "en-de"
    assert answer["loaded"] == [
        {"replica": "Pool#a", "memory_bytes": 10},
        {"replica": "Pool#b", "memory_bytes": 20},
    ]


async def test_a_change_that_is_in_work_or_has_failed_is_told_to_everybody() -> None:
    gateway = _gateway()
    gateway.changes.statuses = {
        "new": ModelStatus(state=ModelState.LOADING, change=ChangeKind.ADD),
        "en-de": ModelStatus(state=ModelState.FAILED, change=ChangeKind.RELOAD, problem="why"),
    }
    answer = await _send(gateway, "GET", "/v1/models/new", x="y")
    assert answer.json() == {"id": "new", "state": "loading", "change": "add", "loaded": []}
    answer = await _send(gateway, "GET", "/v1/models/en-de", x="y")
    assert answer.json()["state"] == "failed"
    assert answer.json()["model"]["name"] == "en-de"


@pytest.mark.parametrize(
    ("headers", "told"), [(TOKEN, "why"), ({"Authorization": "Bearer "}, None), ({"x": "y"}, None)]
)
async def test_why_a_change_failed_is_told_to_operators(
    headers: dict[str, str], told: str | None
) -> None:
    for gateway in (_gateway(), Gateway()):
        gateway.changes.statuses = {
            "new": ModelStatus(state=ModelState.FAILED, change=ChangeKind.ADD, problem="why")
        }
        answer = await _send(gateway, "GET", "/v1/models/new", **headers)
        assert answer.json().get("problem") == told
        told = None  # there is no token


async def test_the_list_has_aliases_and_wakes_nobody() -> None:
    backend = FakeBackend(aliases=("a", "b"), can_sleep=True)
    backend.num_replicas = 0
    [model] = (await _send(_gateway(backend), "GET", "/v1/models")).json()["models"]
    assert (model["aliases"], model["asleep"]) == (["a", "b"], True)
    assert (backend.calls, backend.num_checks) == ([], 0)
