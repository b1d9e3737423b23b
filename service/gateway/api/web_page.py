"""GET /: the page for people, of static files in service/web/.

The browser may load nothing from anywhere else, and nothing that a text says can become markup or
a script: the policy forbids both.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["WebPage"]

_FILES = Path(__file__).parents[2] / "web"
_PATH = "web"
"""Relative, like every path in the page, since a proxy may add a prefix."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    # A new version of the service has a new page: each file is asked for, and known by its ETag.
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """Files with the headers of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or that the browser has it."""
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


class WebPage:
    """The page and its files."""

    def __init__(self) -> None:
        self._files = _Files(directory=_FILES)

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_api_route("/", self.page, methods=["GET", "HEAD"], include_in_schema=False)
        app.mount(f"/{_PATH}", self._files)

    async def page(self, request: Request) -> Response:
        """The page, which is the same for everybody."""
        return await self._files.get_response("index.html", request.scope)
