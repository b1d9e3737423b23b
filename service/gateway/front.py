"""What HAProxy does before a gateway, where there is none: whole requests, within limits.

A request has no place in flight before all of it is there, and a client that does not read its
answers gets no further ones. What is refused here is answered by the application, in the form of
the contract, and so logged and counted as all others are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from contextlib import suppress
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyTimeoutError,
    HeadersTooLargeError,
    OverloadedError,
    UrlTooLongError,
    VersionNotSupportedError,
    WebSocketError,
)
from service.gateway.addresses import ADDRESS_HEADER
from service.gateway.request_context import REFUSAL
from service.settings import Connections, Limits

__all__ = ["MAX_HEADER_BYTES", "MAX_URL_BYTES", "WRITABLE", "FrontMiddleware", "network_of"]

WRITABLE = "polyhead.writable"
"""Key of an ASGI extension: a coroutine function that returns when the client has read enough."""
MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 32 * 1024
_MAX_HEADERS = 128
_SMALL_BODY_BYTES = 64 * 1024
_RETRY_AFTER_SECONDS = 1.0
"""A refusal for its own client's sake comes when that may try again: nobody gains by asking in a
loop."""
_ADDRESS = ADDRESS_HEADER.encode()
"""A proxy of the service's own would say it; here the connection does, whatever a client says."""
_PROBES = frozenset({"/health", "/ready", "/metrics"})
_MOST_PROBES = 16
"""Probes of one address at a time."""
_VERSIONS = ("1.1", "1.0")
_NETWORKS_KNOWN = 4096

_Key = tuple[str, bool]
"""An address, and whether its requests are probes."""


class FrontMiddleware:
    """Hands whole requests to an application, and refuses what is beyond the limits.

    Args:
        app: answers all requests, also those whose scope has a `REFUSAL`.
        limits: of requests.
        connections: of what one address may have, and of slow clients.
    """

    def __init__(self, app: ASGIApp, limits: Limits, connections: Connections) -> None:
        self._app = app
        self._limits = limits
        self._connections = connections
        most = limits.max_in_flight
        self._share = connections.max_in_flight_per_address or max(1, most // 4)
        self._crowded = max(1, most * 3 // 4)
        """Requests at work from which an address may have no more than its share."""
        self._of_address: Counter[_Key] = Counter()
        """Requests of which a part is there, or that are at work."""
        self._num_working = 0
        self._num_large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; passes anything but HTTP through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (writable := scope.get("extensions", {}).get(WRITABLE)) is not None:
            await writable()
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != _ADDRESS]}
        key = network_of(scope["client"]), scope["path"] in _PROBES
        problem = _problem_of_head(scope)
        if problem is None and (problem := self._problem_of_share(*key)) is not None:
            await asyncio.sleep(_RETRY_AFTER_SECONDS)
        if problem is not None:
            await self._app({**scope, REFUSAL: problem}, receive, send)
            return
        self._of_address[key] += 1
        try:
            await self._take_in(scope, receive, send, is_probe=key[1])
        finally:
            self._of_address[key] -= 1
            if not self._of_address[key]:
                del self._of_address[key]

    def _problem_of_share(self, network: str, is_probe: bool) -> Exception | None:
        own = self._of_address[network, is_probe]
        if is_probe:
            if own >= _MOST_PROBES:
                return OverloadedError(
                    f"one address may ask for at most {_MOST_PROBES} probes at a time, but does "
                    "for more"
                )
        elif self._num_working >= self._crowded and own >= self._share:
            return OverloadedError(
                f"one address may have {self._share} requests while there are many, but has more; "
                "try again later"
            )
        return None

    async def _take_in(self, scope: Scope, receive: Receive, send: Send, *, is_probe: bool) -> None:
        """Waits for the body, unless it is announced to be too large, and serves the request."""
        announced = _announced(scope)
        if announced > self._limits.max_body_bytes:  # the application says so
            await self._app(scope, receive, send)
            return
        is_large = announced < 0 or announced > _SMALL_BODY_BYTES
        if is_large and self._num_large >= self._connections.max_large_bodies:
            problem = OverloadedError("there are too many large requests now; try again later")
            await self._app({**scope, REFUSAL: problem}, receive, send)
            return
        self._num_large += is_large
        try:
            if announced:
                receive = await self._whole(scope, receive)
            self._num_working += not is_probe
            try:
                await self._app(scope, receive, send)
            finally:
                self._num_working -= not is_probe
        finally:
            self._num_large -= is_large

    async def _whole(self, scope: Scope, receive: Receive) -> Receive:
        """A `receive` that has the whole body, or as much of it as shows that it is too large."""
        chunks: list[bytes] = []
        size, more = 0, True
        deadline = time.monotonic() + self._limits.body_timeout_seconds
        while more and size <= self._limits.max_body_bytes:
            left = min(self._connections.stall_seconds, deadline - time.monotonic())
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError:
                scope[REFUSAL] = BodyTimeoutError(
                    f"the body must arrive within {self._limits.body_timeout_seconds:g} s, without "
                    f"a pause of {self._connections.stall_seconds:g} s, but did not"
                )
                return receive
            if message["type"] == "http.disconnect":
                return _replay(message, receive)
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return _replay({"type": "http.request", "body": body, "more_body": more}, receive)


def _replay(first: Message, receive: Receive) -> Receive:
    """A `receive` whose first message has come already."""
    messages = [first]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _announced(scope: Scope) -> int:
    """Bytes of the body by its header; 0 without a body, -1 where the length is not known."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return -1
        if name == b"content-length":
            with suppress(ValueError):  # the parser has refused what is no number
                return int(value[:20])
    return 0


def _problem_of_head(scope: Scope) -> Exception | None:
    headers = scope["headers"]
    if scope["http_version"] not in _VERSIONS:
        version = scope["http_version"]
        return VersionNotSupportedError(f"the HTTP version must be 1.1 or 1.0, but is {version}")
    if len(scope["raw_path"]) + len(scope["query_string"]) >= MAX_URL_BYTES:
        return UrlTooLongError(f"the URL must have at most {MAX_URL_BYTES} bytes, but has more")
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
        return HeadersTooLargeError(
            f"the headers must have at most {MAX_HEADER_BYTES} bytes, but have more"
        )
    if len(headers) > _MAX_HEADERS:
        return HeadersTooLargeError(
            f"the request must have at most {_MAX_HEADERS} headers, but has {len(headers)}"
        )
    if any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers):
        return WebSocketError("the request must not ask for a WebSocket: there is none")
    return None


def network_of(client: tuple[str, int] | None) -> str:
    """Whose limits a client counts for: an IPv4 address, or the /64 of an IPv6 address."""
    return _network(client[0]) if client else ""


@lru_cache(_NETWORKS_KNOWN)
def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
