"""Answers as server-sent events: what is decided of translations, then the whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model.errors import PolyheadError
from model.translation import TextDelta
from service.errors import CLIENT_CLOSED_REQUEST
from service.gateway.api.deltas import Deltas
from service.gateway.api.pipeline import Translated
from service.gateway.request_context import RequestContext

__all__ = ["EventForm", "event", "event_stream"]


class EventForm(Protocol):
    """How a contract writes events."""

    def delta(self, delta: TextDelta) -> bytes:
        """A further part of a translation."""
        ...

    def result(self, translated: Translated) -> bytes:
        """The end of an answer."""
        ...

    def error(self, body: bytes) -> bytes:
        """The end of an answer that has failed.

        Args:
            body: of the answer that there would be if none had begun.
        """
        ...


def event(data: bytes, name: bytes = b"") -> bytes:
    """An event with data in one line, such as JSON."""
    return (b"event: %b\n" % name if name else b"") + b"data: %b\n\n" % data


async def event_stream(
    request: Request,
    deltas: Deltas,
    translating: Coroutine[Any, Any, Translated],
    form: EventForm,
) -> Response:
    """The answer of a request, once its first part is decided. Raises what comes before that.

    Args:
        request: whose client gets it.
        deltas: to which `translating` adds what is decided.
        translating: the request's translations.
        form: of the events.
    """
    task = asyncio.create_task(translating)
    task.add_done_callback(lambda _: deltas.changed.set())
    try:
        await deltas.changed.wait()
        if task.done():
            task.result()
    except BaseException:
        await _give_up(task)
        raise
    return _EventStream(request, deltas, task, form)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(
        self, request: Request, deltas: Deltas, task: asyncio.Task[Translated], form: EventForm
    ) -> None:
        # Some proxies, nginx among them, hold parts of answers back unless told otherwise.
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._deltas = deltas
        self._task = task
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events as the client reads them; what comes meanwhile is one event then."""
        context = RequestContext.of(scope)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            ended = False
            while not ended:
                await self._deltas.changed.wait()
                self._deltas.changed.clear()
                ended = self._task.done()
                body = b"".join(map(self._form.delta, self._deltas.take()))
                if ended:
                    body += await self._end(context)
                if body:
                    message = {"type": "http.response.body", "body": body, "more_body": not ended}
                    await send(message)
        except asyncio.CancelledError:
            context.ended_with = CLIENT_CLOSED_REQUEST
            raise
        finally:
            await _give_up(self._task)

    async def _end(self, context: RequestContext) -> bytes:
        error = self._task.exception()
        if error is None:
            return self._form.result(self._task.result())
        if not isinstance(error, Exception):
            raise error
        answer = await self._request.app.exception_handlers[PolyheadError](self._request, error)
        context.ended_with = answer.status_code
        return self._form.error(bytes(answer.body))


async def _give_up(task: asyncio.Task[Translated]) -> None:
    """Ends a task that nobody waits for any more."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # else asyncio logs it
