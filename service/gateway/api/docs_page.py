"""GET /docs: Swagger UI, served without third-party hosts.

FastAPI's own page loads Swagger UI from a CDN, which fails offline and tells a third party of each
visit. This one serves the files of fastapi-offline, and its Content-Security-Policy allows the
browser no others.
"""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

__all__ = ["DocsPage"]

_PATH = "/docs"
_FILES = "docs/files"
"""Relative, like every path in the page, since a proxy may add a prefix."""
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class DocsPage:
    """The documentation page and its static files."""

    def __init__(self, *, title: str, openapi_url: str) -> None:
        """`openapi_url` is the path of the API's description."""
        self._html = bytes(
            get_swagger_ui_html(
                openapi_url=openapi_url.lstrip("/"),
                title=title,
                swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
                swagger_css_url=f"{_FILES}/swagger-ui.css",
                swagger_favicon_url=f"{_FILES}/favicon.png",
                # Swagger UI may ask a public service whether the description is valid.
                swagger_ui_parameters={"validatorUrl": None},
            ).body
        )
        self._policy = _policy(self._html.decode())

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_api_route(_PATH, self.page, methods=["GET", "HEAD"], include_in_schema=False)
        app.mount(f"/{_FILES}", StaticFiles(packages=[("fastapi_offline", "static")]))

    async def page(self) -> HTMLResponse:
        """The page, which never changes."""
        return HTMLResponse(self._html, headers={"Content-Security-Policy": self._policy})


def _policy(html: str) -> str:
    """The Content-Security-Policy: files from this server, and the inline scripts of `html`."""
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in scripts)
    return _POLICY.format(scripts=" ".join(f"'sha256-{one.decode()}'" for one in digests))
