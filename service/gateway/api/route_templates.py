"""Route templates of requests, matched as the framework matches routes."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Host, Match, Mount, Route
from starlette.types import Scope

from service.gateway.request_context import OTHER_ROUTE

__all__ = ["RouteTemplates"]


class RouteTemplates:
    """Templates by request: "/v1/documents/{id}", "/docs/files" for all below a mount, or "other".

    A path without parameters is looked up in a table, which the framework's own matching has
    filled; every other one is matched route by route.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        """`routes` may grow later, by paths that those there now do not match.

        Raises:
            ValueError: a route has no path of its own, as those that `include_router` makes.
        """
        for route in routes:
            if not _path(route) and not isinstance(route, Host):
                raise ValueError(
                    f"a route must have a path of its own, but one is of {type(route).__name__}: "
                    "add routes to the application itself"
                )
        self._routes = routes
        self._known: dict[tuple[str, str], str] = {}
        for route in routes:
            if isinstance(route, Route) and not route.param_convertors:
                for method in route.methods or ():
                    scope = {"type": "http", "method": method, "path": route.path, "headers": []}
                    self._known[method, route.path] = _template(routes, scope) or OTHER_ROUTE

    @property
    def plain_paths(self) -> frozenset[str]:
        """The paths of all routes that have no parameters."""
        return frozenset(path for _, path in self._known)

    def template_of(self, scope: Scope) -> str:
        """The template for an HTTP request; that of the route also where its method is wrong."""
        path, root = scope["path"], scope.get("root_path")
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        known = self._known.get((scope["method"], path))
        return known or _template(self._routes, scope) or OTHER_ROUTE


def _template(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The template of the first route that matches path and method, else of one for the path."""
    for_path = ""
    for route in routes:
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            below = ""
            if isinstance(route, Mount):
                below = _template(route.routes, {**scope, **child_scope})
            return _path(route) + below
        if match is Match.PARTIAL:
            for_path = for_path or _path(route)
    return for_path


def _path(route: BaseRoute) -> str:
    path: str = getattr(route, "path", "")
    return path
