"""The application answers as FastAPI's own layers would, and by the same routes."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Match

from service.gateway.api.json_body import JsonRoute
from tests.fakes import Connection, Gateway

_TRANSLATE = {"text": "Hello", "source": "en", "target": "de"}
_BODIES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"text": NaN}',
    json.dumps(_TRANSLATE).encode(),
    json.dumps(_TRANSLATE).encode("utf-16"),
    json.dumps(_TRANSLATE | {"target": "xx"}).encode(),
    json.dumps(_TRANSLATE | {"stream": True}).encode(),
    json.dumps({"model": "en-de", "messages": [{"role": "user", "content": "Hello"}]}).encode(),
]
_TYPES = ["application/json", "application/json; charset=utf-16", "text/plain"]


def _paths(path: str) -> list[str]:
    return [path, f"{path}/", f"/{path}", f"/api{path}", f"{path}\n", path.upper()]


@pytest.fixture(scope="module")
def gateways() -> tuple[Gateway, Gateway]:
    """One as it is, and one with all of FastAPI's layers."""
    ours, framework = Gateway(cors_origins=["*"]), Gateway(cors_origins=["*"])
    framework.app.middleware_stack = FastAPI.build_middleware_stack(framework.app)
    return ours, framework


async def _answer(
    gateway: Gateway, path: str, method: str, content_type: str, body: bytes, root_path: str
) -> tuple[Any, ...]:
    """Status, headers and body, without what differs each time."""
    connection = Connection(
        root_path + path,
        method=method,
        headers={"content-type": content_type, "origin": "https://a"},
    )
    connection.scope["root_path"] = root_path
    connection.body(body)
    await connection.start(gateway.app)
    sent = b"".join(one.get("body", b"") for one in connection.sent).decode()
    headers = {
        name: re.sub(r"dur=[0-9.]+", "dur", value)
        for name, value in connection.headers.items()
        if name not in ("x-request-id", "content-length")
    }
    sent = re.sub(r"[0-9a-f]{32}|[0-9a-f-]{36}|\"created\": ?[0-9]+", "", sent)
    return connection.status, headers, sent


def _json_paths(gateway: Gateway) -> list[str]:
    return [route.path for route in gateway.app.routes if isinstance(route, JsonRoute)]


async def test_answers_are_those_of_the_frameworks_own_layers(
    gateways: tuple[Gateway, Gateway],
) -> None:
    ours, framework = gateways
    paths = _json_paths(ours)
    asked = [(path, "POST", kind, body) for path, kind, body in product(paths, _TYPES, _BODIES)]
    for path, method in product(paths, ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"]):
        asked += [(one, method, _TYPES[0], _BODIES[5]) for one in _paths(path)]
    for index, each in enumerate(asked):
        root_path = "/root" if index % 7 == 0 else ""
        expected = await _answer(framework, *each, root_path)
        assert await _answer(ours, *each, root_path) == expected, (each, root_path)


def test_a_json_route_is_the_first_one_for_its_path(gateways: tuple[Gateway, Gateway]) -> None:
    routes = gateways[0].app.routes
    for route in routes:
        if isinstance(route, JsonRoute) and not route.param_convertors:
            for method in route.methods or ():
                scope: dict[str, Any] = {"type": "http", "method": method, "path": route.path}
                found = (one for one in routes if one.matches(scope)[0] is Match.FULL)
                assert next(found) is route
