"""Routes that take JSON: what their endpoints get, and which endpoints may stand behind them."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.api.json_body import JsonRoute
from tests.fakes import Connection


class Item(BaseModel):
    """A body."""

    name: str


def _app(endpoint: Any) -> FastAPI:
    app = FastAPI()
    app.router.add_api_route("/items", endpoint, methods=["POST"], route_class_override=JsonRoute)
    return app


async def test_an_endpoint_gets_the_request_as_it_came_and_the_validated_body() -> None:
    async def endpoint(request: Request, item: Item) -> Response:
        return JSONResponse([item.name, (await request.body()).decode(), await request.json()])

    connection = Connection("/items")
    connection.body(b'{"name": "a"}')
    await connection.start(_app(endpoint))
    assert connection.json() == ["a", '{"name": "a"}', {"name": "a"}]


async def test_the_body_is_documented_as_the_framework_does_it() -> None:
    async def endpoint(request: Request, item: Item) -> Response:
        raise NotImplementedError

    document = _app(endpoint).openapi()
    content = document["paths"]["/items"]["post"]["requestBody"]["content"]
    reference = {"$ref": "#/components/schemas/Item"}
    assert content == {"application/json": {"schema": reference}}


async def test_an_endpoint_without_a_body_is_refused() -> None:
    async def endpoint(request: Request) -> Response:
        raise NotImplementedError

    with pytest.raises(TypeError, match="/items must take one model, but takes None"):
        _app(endpoint)


async def test_an_endpoint_whose_body_is_no_model_is_refused() -> None:
    async def endpoint(request: Request, one: list[int]) -> Response:
        raise NotImplementedError

    with pytest.raises(TypeError, match="must take one model, but takes list"):
        _app(endpoint)
