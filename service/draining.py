"""A gateway's last requests: nothing new is let in, and what has been let in is answered."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ModelUnavailableError
from service.request_context import RequestContext

__all__ = ["Drain", "DrainRequests"]

_TO_THE_LAST = frozenset({"/health", "/metrics"})
"""For those who watch: the process is alive, and its last numbers count."""


class Drain:
    """The requests in work, and whether others may still join them. Of one event loop."""

    def __init__(self) -> None:
        self.begun = False
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self) -> None:
        """From now on nothing is let in; returns when all that was is answered."""
        self.begun = True
        await self._empty.wait()

    def enter(self) -> None:
        """A request comes in.

        Raises:
            ModelUnavailableError: too late.
        """
        if self.begun:
            raise ModelUnavailableError("the service is about to end; try again later")
        self._in_flight += 1
        self._empty.clear()

    def leave(self) -> None:
        """A request that came in has been answered, or its client has gone."""
        self._in_flight -= 1
        if not self._in_flight:
            self._empty.set()


class DrainRequests:
    """Holds every request against a `Drain`. Stands behind what turns exceptions into answers."""

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or RequestContext.of(scope).route in _TO_THE_LAST:
            await self._app(scope, receive, send)
            return
        self._drain.enter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._drain.leave()
