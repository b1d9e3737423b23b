"""The OpenAPI description of the application, as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field

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
