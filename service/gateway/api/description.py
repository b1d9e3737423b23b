"""The application: its OpenAPI description as it is, and no layers around its routes but ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.gateway.api.json_body import JsonRoute

__all__ = ["DescribedApplication"]


class DescribedApplication(FastAPI):
    """An application of which nothing is described that FastAPI alone would answer.

    Errors have the form of their contract, and a parameter of a path is any string.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._further: list[tuple[APIRoute, Mapping[int | str, dict[str, Any]]]] = []

    def describe(self, path: str, responses: Mapping[int | str, dict[str, Any]]) -> None:
        """Says how the newest route, which is at `path`, may answer besides.

        In FastAPI's `responses`, each body of a route becomes a type of its own as the route is
        made, which is most of the time that an application takes to be made; and nothing but the
        description needs them.
        """
        route = self.router.routes[-1]
        assert isinstance(route, APIRoute)
        assert route.path == path
        self._further.append((route, responses))

    def build_middleware_stack(self) -> ASGIApp:
        """Our middleware around the routes. What FastAPI has outside of it does nothing here that
        ours does not: it answers for errors, bounds bodies and makes traces."""
        others = ExceptionMiddleware(
            AsyncExitStackMiddleware(self.router), handlers=self.exception_handlers
        )
        app: ASGIApp = _JsonRoutesFirst(self.router.routes, others)
        for middleware, args, options in reversed(self.user_middleware):
            app = middleware(app, *args, **options)
        return app

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            for route, responses in self._further:
                _add_responses(route, responses)
            for methods in super().openapi()["paths"].values():
                for operation in methods.values():
                    if "HTTPValidationError" in str(operation["responses"].get("422")):
                        del operation["responses"]["422"]
            schemas = super().openapi()["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return super().openapi()


class _JsonRoutesFirst:
    """Gives requests to the JSON routes without parameters, by a table, and all others to the rest.

    Args:
        routes: all of them.
        others: answers for all others, exceptions included; those of JSON routes are raised.
    """

    def __init__(self, routes: Sequence[BaseRoute], others: ASGIApp) -> None:
        self._others = others
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, JsonRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; a path below a `root_path` is for the others."""
        route = None
        if scope["type"] == "http" and not scope.get("root_path"):
            route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._others(scope, receive, send)
        else:
            await route.serve(scope, receive, send)


def _add_responses(route: APIRoute, responses: Mapping[int | str, dict[str, Any]]) -> None:
    """Makes of a route what it had been with these `responses` from the beginning."""
    route.responses = dict(responses)
    route.response_fields = {
        status: create_model_field(
            f"Response_{status}_{route.unique_id}", response["model"], mode="serialization"
        )
        for status, response in responses.items()
        if "model" in response
    }
