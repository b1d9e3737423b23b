"""A wire contract as its module declares it: its routes and the form of its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import Depends
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.routing import Route

from service.errors import Failure
from service.gateway.api.description import DescribedApplication
from service.gateway.request_context import RequestContext
from service.store.records import Scope

__all__ = ["Contract", "ErrorForm", "Reply", "translation_errors"]

ErrorForm = Callable[[Failure, RequestContext], Response]
"""Makes the answer for a failure, as a contract defines it."""

_Method = TypeVar("_Method", bound=Callable[..., Any])
_KEY = Depends(HTTPBearer(scheme_name="key", auto_error=False))
"""For the documentation alone: `AccessControl` looks at the headers."""


class Reply(BaseModel):
    """An object in an answer of any contract."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Contract:
    """The routes of one API, declared before their handlers exist.

    Args:
        error_form: makes the answer for every error on these routes, 404 and 405 included.
        errors: how routes that need a key may fail beside what they say themselves, for the
            description.
        key_in_fields: whether API keys may also be in the body or the query string: handlers then
            admit requests whose headers have none.
    """

    def __init__(
        self,
        *,
        error_form: ErrorForm,
        errors: Mapping[int | str, dict[str, Any]],
        key_in_fields: bool = False,
    ) -> None:
        self.error_form = error_form
        self.errors = errors
        self.key_in_fields = key_in_fields
        self.scopes: dict[tuple[str, str], Scope] = {}
        """What an API key must be good for, by method and template; others need none."""
        self._routes: list[tuple[str, str, dict[str, Any]]] = []

    def route(
        self, path: str, *, scope: Scope | None = None, **options: Any
    ) -> Callable[[_Method], _Method]:
        """Declares that the decorated method answers at `path`.

        Args:
            path: template with parameter names in braces.
            scope: what an API key must be good for; None for a route that needs none.
            options: FastAPI's.
        """
        if scope is not None:
            for method in options.get("methods", ["GET"]):
                self.scopes[method, path] = scope

        def declare(method: _Method) -> _Method:
            self._routes.append((path, method.__name__, options))
            return method

        return declare

    @property
    def templates(self) -> frozenset[str]:
        """The path templates, with parameter names in braces."""
        return frozenset(path for path, _, _ in self._routes)

    def bare_routes(self) -> list[Route]:
        """Routes without handlers, for a process that only matches requests."""
        return [Route(path, endpoint=_nothing) for path in sorted(self.templates)]

    def add_to(
        self, app: DescribedApplication, handlers: object, *, keys_required: bool = False
    ) -> None:
        """Adds the routes, handled by the declared methods of `handlers`.

        Args:
            app: the application.
            handlers: an object with all the methods.
            keys_required: whether the description says that routes need a key.
        """
        for path, name, options in self._routes:
            methods = options.get("methods", ["GET"])
            options = dict(options)
            responses = options.pop("responses", {})
            if any((method, path) in self.scopes for method in methods):
                responses = {**self.errors, **responses}
                if keys_required:
                    options["dependencies"] = [*options.get("dependencies", ()), _KEY]
            app.router.add_api_route(path, getattr(handlers, name), **options)
            app.describe(path, responses)


def translation_errors(model: type[Reply]) -> dict[int | str, dict[str, Any]]:
    """How a route that translates may fail, for its documentation, with bodies of type `model`."""
    return {
        status: {"model": model, "description": description}
        for status, description in (
            (400, "The request breaks a rule, or a language is not served"),
            (403, "The API key is not valid, or for something else"),
            (408, "The body did not arrive in time"),
            (413, "The body is too large"),
            (429, "Too many requests or characters: see Retry-After"),
            (503, "Too much to do, or no replica: see Retry-After"),
            (504, "The time for the request ran out"),
        )
    }


def _nothing() -> None:
    raise NotImplementedError("a bare route only matches requests and must not be called")
