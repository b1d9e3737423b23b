"""Headers of every answer: security, the character set, times, and what pages of others may do."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence

from starlette.datastructures import Headers

from service.gateway.request_context import RequestContext

__all__ = ["AnswerHeaders", "CrossOrigin"]

_Pairs = list[tuple[bytes, bytes]]

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
_JSON, _JSON_IN_UTF8 = b"application/json", b"application/json; charset=utf-8"
_SAFE_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1000}")
_READABLE = b"X-Request-Id, Retry-After, Server-Timing"
_PREFLIGHT_SECONDS = b"86400"


class CrossOrigin:
    """Which web pages of other origins may call which routes (CORS). Never with credentials.

    Args:
        origins: "https://app.example", or "*" for all; None lets all call the `open_routes`, and
            nobody the others.
        open_routes: templates of the routes whose contract lets everybody.
        routes: templates of all routes that pages may be allowed to call.
    """

    def __init__(
        self,
        origins: Sequence[str] | None,
        *,
        open_routes: Collection[str],
        routes: Collection[str],
    ) -> None:
        self._origins = None if origins is None or "*" in origins else frozenset(origins)
        self._routes = frozenset(open_routes if origins is None else routes if origins else ())

    def headers(self, route: str, origin: str | None) -> _Pairs:
        """Those of an answer on a route; none where the page may not read it."""
        if route not in self._routes:
            return []
        exposed = (b"access-control-expose-headers", _READABLE)
        if self._origins is None:
            return [(b"access-control-allow-origin", b"*"), exposed]
        vary = (b"vary", b"Origin")
        if origin not in self._origins or origin is None:
            return [vary]
        return [(b"access-control-allow-origin", origin.encode("latin-1")), exposed, vary]

    def preflight(self, route: str, methods: str, request: Headers) -> dict[str, str]:
        """Those of the answer to OPTIONS, beside `headers`, for a route with these methods."""
        wanted = request.get("access-control-request-headers", "")
        if route not in self._routes or "access-control-request-method" not in request:
            return {}
        allowed = {"Access-Control-Allow-Methods": methods}
        if _SAFE_NAMES.fullmatch(wanted):
            allowed["Access-Control-Allow-Headers"] = wanted
        allowed["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS.decode()
        return allowed


class AnswerHeaders:
    """Adds what every answer has."""

    def __init__(self, cross_origin: CrossOrigin) -> None:
        self._cross_origin = cross_origin

    def add_to(self, headers: _Pairs, context: RequestContext, origin: str | None) -> None:
        """Adds to the headers of an answer that begins now, where it has none of its own."""
        names = set()
        for index, (name, value) in enumerate(headers):
            name = name.lower()
            names.add(name)
            if name == b"content-type" and value == _JSON:
                headers[index] = (name, _JSON_IN_UTF8)
        headers += _SECURITY
        if b"content-security-policy" not in names:
            headers.append(_POLICY)
        if b"cache-control" not in names and b"etag" not in names:
            headers.append(_NO_STORE)
        headers.append((b"server-timing", _server_timing(context.started, context.timings)))
        headers += self._cross_origin.headers(context.meant or context.route, origin)


def _server_timing(started: float, phases: Mapping[str, float]) -> bytes:
    """Milliseconds since the request came, and of phases within."""
    times = {"total": time.monotonic() - started, **phases}
    return ", ".join(f"{name};dur={1000 * each:.1f}" for name, each in times.items()).encode()
